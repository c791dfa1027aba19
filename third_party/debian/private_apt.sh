# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Sourced: apt-get with lists and cache in a folder of our own, which needs no root.

# private_apt DIR [SOURCE_LINE]: points apt at DIR, nothing installed, and reads the lists: the
# machine's own sources, or SOURCE_LINE alone.
private_apt() {
    mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial"
    : >"$1/status"
    {
        printf 'Dir::State "%s/state";\n' "$1"
        printf 'Dir::State::status "%s/status";\n' "$1"
        printf 'Dir::Cache "%s/cache";\n' "$1"
        printf 'Acquire::Languages "none";\n'
        printf 'Acquire::Retries "3";\n'
        # apt would otherwise drop to a user who may not write here.
        printf 'APT::Sandbox::User "";\n'
        if [ -n "${2-}" ]; then
            printf '%s\n' "$2" >"$1/sources.list"
            printf 'Dir::Etc::SourceList "%s/sources.list";\n' "$1"
            printf 'Dir::Etc::SourceParts "/dev/null";\n'
        fi
    } >"$1/apt.conf"
    export APT_CONFIG="$1/apt.conf"
    apt-get -q update >"$1/update.log" 2>&1 || {
        cat "$1/update.log" >&2
        return 1
    }
}

# closure PACKAGE...: what installing these on an empty system takes, one name a line.
closure() {
    apt-get -q -y --no-install-recommends --print-uris install "$@" |
        sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p"
}

# lock_line PACKAGE FILE KIND: a line of a lock.
lock_line() {
    printf '%s %s %s %s\n' "$1" "$(dpkg-deb -f "$2" Version)" \
        "$(sha256sum "$2" | cut -d ' ' -f 1)" "$3"
}
