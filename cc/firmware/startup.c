// SPDX-License-Identifier: Apache-2.0
// From reset to spk_board_start on any Cortex-M7: vector table, floating point, memory, faults.
#include <stdint.h>
#include <string.h>

#include "board.h"
#include "say.h"

// From sections.ld.
extern uint32_t spk_data_load[], spk_data_start[], spk_data_end[];
extern uint32_t spk_bss_start[], spk_bss_end[];
extern uint32_t spk_state_start[], spk_state_end[];
extern uint32_t spk_stack_start[], spk_stack_end[];

_Noreturn void Reset_Handler(void);
_Noreturn void Fault_Handler(void);
_Noreturn void spk_startup_memory(void);
_Noreturn void spk_startup_fault(const uint32_t *frame);
extern const uintptr_t spk_vectors[16];

// Armv7-M's sixteen system entries. No interrupt of the chip is ever enabled, so the table stops
// here; every exception that does come is a fault to report.
__attribute__((section(".vectors"), used)) const uintptr_t spk_vectors[16] = {
    (uintptr_t)spk_stack_end,
    (uintptr_t)Reset_Handler,
    (uintptr_t)Fault_Handler,  // non-maskable interrupt
    (uintptr_t)Fault_Handler,  // hard fault
    (uintptr_t)Fault_Handler,  // memory management
    (uintptr_t)Fault_Handler,  // bus
    (uintptr_t)Fault_Handler,  // usage
    0,
    0,
    0,
    0,
    (uintptr_t)Fault_Handler,  // supervisor call
    (uintptr_t)Fault_Handler,  // debug monitor
    0,
    (uintptr_t)Fault_Handler,  // PendSV
    (uintptr_t)Fault_Handler,  // SysTick
};

// A bootloader may have come first, so nothing is as after a hardware reset: interrupts off, our
// own stack, SysTick (0xE000E010) off, VTOR (0xE000ED08) to our table. CPACR (0xE000ED88) grants
// CP10 and CP11 before the first floating-point instruction, and FPSCR 0 gives the rounding and the
// subnormals that the host has. All of it in assembler: C might use the stack or the FPU before.
__attribute__((naked)) void Reset_Handler(void) {
  __asm__ volatile(
      "cpsid i\n"
      "ldr r0, =spk_stack_end\n"
      "msr msp, r0\n"
      "movs r1, #0\n"
      "msr control, r1\n"
      "isb\n"
      "ldr r0, =0xe000e010\n"
      "str r1, [r0]\n"
      "ldr r0, =0xe000ed08\n"
      "ldr r2, =spk_vectors\n"
      "str r2, [r0]\n"
      "ldr r0, =0xe000ed88\n"
      "ldr r2, [r0]\n"
      "orr r2, r2, #0x00f00000\n"
      "str r2, [r0]\n"
      "dsb\n"
      "isb\n"
      "vmsr fpscr, r1\n"
      "b spk_startup_memory\n"
      ".ltorg\n");
}

static uint32_t spk_startup_bytes(const uint32_t *start, const uint32_t *end) {
  return (uint32_t)((uintptr_t)end - (uintptr_t)start);
}

// Below the stack lies no memory, but not everywhere does an access there fault, so the memory
// protection unit sees to it: 16 MB without access, Armv7-M B3.5. A deep call cannot jump over it.
// It is the only region: those of a bootloader would come back when the unit is switched on.
static void spk_startup_guard(void) {
  __asm__ volatile("dmb" ::: "memory");
  *(volatile uint32_t *)0xe000ed94u = 0;  // CTRL: off while its regions change
  const uint32_t regions = *(const volatile uint32_t *)0xe000ed90u >> 8 & 0xffu;  // TYPE.DREGION
  for (uint32_t i = 0; i < regions; i++) {
    *(volatile uint32_t *)0xe000ed98u = i;  // RNR: the region that RASR speaks of
    *(volatile uint32_t *)0xe000eda0u = 0;  // RASR: off
  }
  const uint32_t base = (uint32_t)(uintptr_t)spk_stack_start - (1u << 24);  // sections.ld aligns it
  *(volatile uint32_t *)0xe000ed9cu = base | 1u << 4;                       // RBAR: valid, region 0
  // RASR: never executed, no access, 2^(23 + 1) bytes, on
  *(volatile uint32_t *)0xe000eda0u = 1u << 28 | 23u << 1 | 1u;
  *(volatile uint32_t *)0xe000ed94u = 1u << 2 | 1u;  // CTRL: on; the rest of memory as ever
  __asm__ volatile("dsb\nisb" ::: "memory");
}

_Noreturn void spk_startup_memory(void) {
  spk_startup_guard();
  memcpy(spk_data_start, spk_data_load, spk_startup_bytes(spk_data_start, spk_data_end));
  memset(spk_bss_start, 0, spk_startup_bytes(spk_bss_start, spk_bss_end));
  memset(spk_state_start, 0, spk_startup_bytes(spk_state_start, spk_state_end));
  spk_board_start();
}

// An overflowed stack is no use any more, so the report gets a fresh one.
__attribute__((naked)) void Fault_Handler(void) {
  __asm__ volatile(
      "mrs r0, msp\n"
      "ldr r1, =spk_stack_end\n"
      "msr msp, r1\n"
      "b spk_startup_fault\n"
      ".ltorg\n");
}

_Noreturn void spk_startup_fault(const uint32_t *frame) {
  // CFSR, Armv7-M B3.2.15: what went wrong. STKERR and MSTKERR: the frame could not be stored.
  const uint32_t cfsr = *(const volatile uint32_t *)0xE000ED28u;
  const uint32_t no_frame = 1u << 12 | 1u << 4;
  uint32_t exception;
  __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
  // Read before the report's own calls reach down the fresh stack to the frame.
  const int framed = (cfsr & no_frame) == 0 && frame >= spk_stack_start && frame < spk_stack_end;
  const uint32_t pc = framed ? frame[6] : 0;
  char room[SPK_SAY_ROOM];
  spk_board_print("fault: exception ");
  spk_board_print(spk_say_decimal(room, exception));
  spk_board_print(framed ? " at " : " with the stack overflowed; CFSR ");
  spk_board_print(spk_say_hex(room, framed ? pc : cfsr));
  if (framed) {
    spk_board_print(", CFSR ");
    spk_board_print(spk_say_hex(room, cfsr));
  }
  spk_board_print("\n");
  spk_board_exit(70);
}
