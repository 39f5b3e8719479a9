# One entry for each of the 224 vectors that are no exceptions: the number; then all go to
# interrupt_entry, which keeps everything that Rust code may change, SSE registers included: the
# interrupted code goes on as if nothing had happened.

    .text
interrupt_entry:                        # on interrupt stack 2, interrupts off
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    movq %rsp, %rbx
    movq %rsp, %rdi                     # InterruptFrame
    subq $512, %rsp
    andq $-16, %rsp
    fxsave64 (%rsp)
    cld
    call interrupt
    fxrstor64 (%rsp)
    movq %rbx, %rsp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    addq $8, %rsp                       # the vector
    iretq

    .balign 16
    .globl interrupt_stubs              # 16 bytes each, from vector 32 on
interrupt_stubs:
    .set vector, 32
    .rept 224
    .balign 16
    pushq $vector
    jmp interrupt_entry
    .set vector, vector + 1
    .endr
