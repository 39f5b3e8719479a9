# The first instructions, for every loader.
#
# PVH and multiboot enter in 32-bit protected mode without paging, at the addresses the image was
# linked for. UEFI enters in 64-bit mode, anywhere. All meet in enter_kernel: long mode, SSE on,
# .bss cleared, relocations applied, interrupts off, our own stack.

    .set IMAGE_BASE, 0x101000           # as in image.ld
    .set LOADER_PVH, 1
    .set LOADER_MULTIBOOT, 2

    # The address of a symbol, for 32-bit code: a difference needs no relocation in a
    # position-independent image.
    .macro address_of symbol, register
    movl $(\symbol - boot + IMAGE_BASE), \register
    .endm

    .section .boot, "ax", @progbits
boot:
    .code64
    .globl uefi_start                   # IMAGE_BASE itself: objcopy is told this address
uefi_start:
    jmp uefi_enter

    .code32
    .globl multiboot_start
multiboot_start:                        # eax = 0x2badb002, ebx = multiboot information
    movl $LOADER_MULTIBOOT, %ebp
    jmp start32

pvh_start:                              # ebx = hvm_start_info
    movl $LOADER_PVH, %ebp

start32:
    cli
    cld
    rdtsc
    movl %ebx, %esi                     # esi = information, edx:ebx = time stamp, ebp = loader
    movl %eax, %ebx

    address_of bss_start, %edi          # the loader does not always clear it
    address_of bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl

    address_of stack_top, %esp
    pushl %edx                          # as the 64-bit code pops them: time stamp,
    pushl %ebx
    pushl $0                            # information,
    pushl %esi
    pushl $0                            # loader
    pushl %ebp

    address_of page_tables, %edi        # PML4, PDPT, four page directories: 4 GiB identity
    leal 0x1003(%edi), %eax
    movl %eax, (%edi)
    leal 0x1000(%edi), %ebx
    leal 0x2003(%edi), %eax
    movl $4, %ecx
1:  movl %eax, (%ebx)
    addl $0x1000, %eax
    addl $8, %ebx
    decl %ecx
    jnz 1b
    leal 0x2000(%edi), %ebx
    movl $0x83, %eax                    # present, writable, 2 MiB
    movl $2048, %ecx
2:  movl %eax, (%ebx)
    addl $0x200000, %eax
    addl $8, %ebx
    decl %ecx
    jnz 2b

    movl %edi, %cr3
    movl %cr4, %eax
    orl $0x20, %eax                     # PAE
    movl %eax, %cr4
    movl $0xc0000080, %ecx              # EFER.LME
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax               # PG, WP, PE
    movl %eax, %cr0

    address_of start_gdt, %eax
    pushl %eax
    pushw $(start_gdt_end - start_gdt - 1)
    lgdt (%esp)
    addl $6, %esp
    pushl $0x08
    address_of start64, %eax
    pushl %eax
    lretl

    .code64
start64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    call relocate
    popq %rdi
    popq %rsi
    popq %rdx
    jmp enter_kernel

# UEFI: rcx = image handle, rdx = system table. Firmware's stack and page tables stay until
# uefi_main has left boot services; it does not return.
uefi_enter:
    movq %rcx, %r12
    movq %rdx, %r13
    rdtsc
    shlq $32, %rdx
    orq %rax, %rdx
    movq %rdx, %r14
    leaq bss_start(%rip), %rdi
    leaq bss_end(%rip), %rcx
    subq %rdi, %rcx
    xorl %eax, %eax
    cld
    rep stosb
    call relocate
    movq %r12, %rcx
    movq %r13, %rdx
    movq %r14, %r8
    andq $-16, %rsp
    subq $32, %rsp
    call uefi_main
    ud2

# Adds the distance between where we run and where we were linked to every pointer in the image.
relocate:
    leaq rela_start(%rip), %rcx
    leaq rela_end(%rip), %r8
    leaq boot(%rip), %r9
    subq $IMAGE_BASE, %r9
1:  cmpq %r8, %rcx
    jae 2f
    cmpl $8, 8(%rcx)                    # R_X86_64_RELATIVE: the linker makes no other here
    jne 3f
    movq (%rcx), %r10
    movq 16(%rcx), %r11
    addq %r9, %r11
    movq %r11, (%r10,%r9)
    addq $24, %rcx
    jmp 1b
2:  ret
3:  ud2

# enter_kernel(loader, information, time stamp): our stack, SSE on, then Rust for good.
    .globl enter_kernel
enter_kernel:
    cli
    leaq stack_top(%rip), %rsp
    movq %cr0, %rax
    andq $~0xc, %rax                    # no emulation, no lazy switching
    orq $0x22, %rax                     # MP, NE
    movq %rax, %cr0
    movq %cr4, %rax
    orq $0x600, %rax                    # OSFXSR, OSXMMEXCPT
    movq %rax, %cr4
    xorl %ebp, %ebp
    call kernel_start
    ud2

    # Multiboot 1 §3.1. A loader looks for it in the first 8 KiB of the file: there it is in the
    # flat binary, but not in the ELF file, which QEMU would otherwise refuse as a multiboot image
    # of the wrong class instead of starting it by PVH.
    .org 0x1000
multiboot_header:
    .set MULTIBOOT_FLAGS, 0x00010003    # page-aligned modules, memory map, addresses below
    .long 0x1badb002
    .long MULTIBOOT_FLAGS
    .long -(0x1badb002 + MULTIBOOT_FLAGS)
    .long IMAGE_BASE + (multiboot_header - boot)
    .long IMAGE_BASE                    # load from here,
    .long data_end - boot + IMAGE_BASE  # to here,
    .long bss_end - boot + IMAGE_BASE   # clear to here,
    .long IMAGE_BASE + (multiboot_start - boot)

    .balign 8
start_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            # 0x08: 64-bit code
    .quad 0x00cf93000000ffff            # 0x10: data
start_gdt_end:

    .section .bss.page_tables, "aw", @nobits
    .balign 4096
    .globl page_tables
page_tables:
    .skip 6 * 4096

    .section .bss.stack, "aw", @nobits
    .balign 4096
    .globl stack_guard
stack_guard:
    .skip 4096
    .skip 1024 * 1024
stack_top:

# PVH: an ELF note that names the 32-bit entry (Xen's XEN_ELFNOTE_PHYS32_ENTRY).
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long IMAGE_BASE + (pvh_start - boot)

# A PE base relocation block without entries: the image relocates itself.
    .section .reloc, "a", @progbits
    .long 0, 12
    .long 0

    .text
