# Reads the disk 0x80 through INT 13h, as COM1 says. iPXE starts it as a network boot program, at
# 0:7C00 in real mode, and stays behind the interrupt.
#
# It begins with `@ready RATE`: by how much the time stamp counter grew in TICKS_COUNTED ticks of
# the BIOS. To `run BLOCKS LIMIT SPAN` (blocks of a read; units of 2^20 of the counter; blocks of the
# disk that take part) it answers `@done READS HIGH LOW LAST SUM`: the counter's 64 bits, where the
# last read was, and the sum of its 32-bit words; or `@failed STATUS`. Numbers are hexadecimal.

        .intel_syntax noprefix
        .code16
        .globl  _start

        .equ    COM1, 0x3f8
        .equ    LINE_STATUS, COM1 + 5
        .equ    DATA_READY, 0x01
        .equ    CAN_SEND, 0x20
        .equ    BIOS_TICKS, 0x46c
        .equ    TICKS_COUNTED, 9
        .equ    EXTENDED_READ, 0x42
        .equ    DISK, 0x80
        .equ    BUFFER_SEGMENT, 0x2000

_start: xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ax, BUFFER_SEGMENT
        mov     fs, ax
        cld
        sti
        call    next_tick
        rdtsc
        mov     ebx, eax
        mov     cx, TICKS_COUNTED
counting:
        call    next_tick
        loop    counting
        rdtsc
        sub     eax, ebx
        mov     si, offset ready
        call    say
        call    say_number
        call    end_line

order:  call    number                  # the word itself, of no interest
        call    number
        mov     [blocks], ax
        call    number
        mov     ecx, eax
        call    number
        mov     [span], eax
        xor     eax, eax
        mov     [reads], eax
        mov     [next_block], eax
        mov     ebx, ecx
        shl     ebx, 20
        shr     ecx, 12
        rdtsc
        mov     [start], eax
        mov     [start + 4], edx
        add     ebx, eax
        adc     ecx, edx
        mov     [deadline], ebx
        mov     [deadline + 4], ecx

again:  movzx   ebx, word ptr [blocks]
        mov     eax, [next_block]
        add     ebx, eax
        cmp     ebx, [span]
        jbe     fits
        xor     eax, eax
fits:   mov     [block], eax
        movzx   ebx, word ptr [blocks]
        mov     [count], bx
        add     eax, ebx
        mov     [next_block], eax
        mov     ah, EXTENDED_READ
        mov     dl, DISK
        mov     si, offset packet
        int     0x13
        jc      failed
        inc     dword ptr [reads]
        rdtsc
        cmp     edx, [deadline + 4]
        jb      again
        ja      through
        cmp     eax, [deadline]
        jb      again

through:
        sub     eax, [start]
        sbb     edx, [start + 4]
        push    eax
        push    edx
        mov     si, offset done
        call    say
        mov     eax, [reads]
        call    say_number
        pop     eax
        call    say_number
        pop     eax
        call    say_number
        mov     eax, [block]
        call    say_number
        xor     eax, eax
        xor     si, si
        movzx   ecx, word ptr [blocks]
        shl     cx, 7                   # words of a block
sum:    add     eax, fs:[si]
        add     si, 4
        loop    sum
        call    say_number
        call    end_line
        jmp     order

failed: movzx   eax, ah
        mov     si, offset bad
        call    say
        call    say_number
        call    end_line
        jmp     order

# Waits for the BIOS's clock to tick.
next_tick:
        mov     eax, [BIOS_TICKS]
same:   cmp     eax, [BIOS_TICKS]
        je      same
        ret

# The next number of the line, in eax: all up to a space or the line's end.
number: push    ecx
        xor     ecx, ecx
digit:  call    get
        cmp     al, ' '
        jbe     ended
        cmp     al, '9'
        jbe     small
        sub     al, 'a' - '0' - 10
small:  sub     al, '0'
        shl     ecx, 4
        or      cl, al
        jmp     digit
ended:  mov     eax, ecx
        pop     ecx
        ret

# Eight digits of eax, with a space before them.
say_number:
        push    ebx
        push    cx
        mov     ebx, eax
        mov     al, ' '
        call    put
        mov     cx, 8
one:    rol     ebx, 4
        mov     al, bl
        and     al, 15
        cmp     al, 10
        jb      decimal
        add     al, 'a' - '0' - 10
decimal:
        add     al, '0'
        call    put
        loop    one
        pop     cx
        pop     ebx
        ret

# The text at si, up to a zero.
say:    push    eax
letter: lodsb
        test    al, al
        jz      said
        call    put
        jmp     letter
said:   pop     eax
        ret

end_line:
        mov     al, '\n'
put:    push    dx
        push    ax
        mov     dx, LINE_STATUS
full:   in      al, dx
        test    al, CAN_SEND
        jz      full
        pop     ax
        mov     dx, COM1
        out     dx, al
        pop     dx
        ret

get:    push    dx
        mov     dx, LINE_STATUS
empty:  in      al, dx
        test    al, DATA_READY
        jz      empty
        mov     dx, COM1
        in      al, dx
        pop     dx
        ret

ready:  .asciz  "@ready"
done:   .asciz  "@done"
bad:    .asciz  "@failed"

        .balign 8
packet: .byte   16, 0
count:  .word   0
        .word   0, BUFFER_SEGMENT
block:  .quad   0

start:  .quad   0
deadline:
        .quad   0
span:   .long   0
reads:  .long   0
next_block:
        .long   0
blocks: .word   0
