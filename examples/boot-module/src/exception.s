# One entry for each of the 32 processor exceptions: the number and, where the processor pushes
# none, a zero error code; then all go to exception_entry.

    .text
exception_entry:
    movq %rsp, %rdi                     # ExceptionFrame
    subq $8, %rsp                       # ten words lie above: calls want 16-byte alignment
    andq $-16, %rsp
    cld
    call exception
    ud2

    .macro exception_stub number, error_code=0
    .balign 16
    .if \error_code == 0
    pushq $0
    .endif
    pushq $\number
    jmp exception_entry
    .endm

    .balign 16
    .globl exception_stubs              # 16 bytes each
exception_stubs:
    exception_stub 0
    exception_stub 1
    exception_stub 2
    exception_stub 3
    exception_stub 4
    exception_stub 5
    exception_stub 6
    exception_stub 7
    exception_stub 8, 1
    exception_stub 9
    exception_stub 10, 1
    exception_stub 11, 1
    exception_stub 12, 1
    exception_stub 13, 1
    exception_stub 14, 1
    exception_stub 15
    exception_stub 16
    exception_stub 17, 1
    exception_stub 18
    exception_stub 19
    exception_stub 20
    exception_stub 21, 1
    exception_stub 22
    exception_stub 23
    exception_stub 24
    exception_stub 25
    exception_stub 26
    exception_stub 27
    exception_stub 28
    exception_stub 29, 1
    exception_stub 30, 1
    exception_stub 31

# load_segments: our GDT is loaded; takes its segments and the task register.
    .globl load_segments
load_segments:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $0x18, %eax
    ltr %ax
    popq %rax
    pushq $0x08
    pushq %rax
    lretq
