// SPDX-License-Identifier: Apache-2.0
// What headers say that C11 has no word for, as this compiler spells it.
#ifndef SPK_COMPILER_H_
#define SPK_COMPILER_H_

#if defined(__GNUC__)
// A result that must not be ignored.
#define SPK_MUST_USE __attribute__((warn_unused_result))
// Before a struct's member or after an array: it starts a word, because instructions that load
// several words at a time want that.
#define SPK_WORD __attribute__((aligned(4)))
// Makes the compiler forget what it knows of a variable's value; costs nothing at run time.
#define SPK_HIDE(variable) __asm__("" : "+r"(variable))
#else
#define SPK_MUST_USE
#define SPK_WORD
#define SPK_HIDE(variable) ((void)(variable))
#endif

#endif  // SPK_COMPILER_H_
