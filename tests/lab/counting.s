# A guest as small as they come: one sector that SeaBIOS starts. About twice a second it counts
# on, writes the number to its disk's second sector, and only then tells it on its serial line: a
# line of eight hexadecimal digits. At each tick, four such lines were all that a node could do
# whose own processor is emulated. "start" stands before the number that it found on its disk. Its
# power button (of QEMU's PIIX4, whose ports SeaBIOS places) switches it off.

        .code16
        .globl  _start
        .set    NUMBER, 0x8000                  # where the second sector is kept
        .set    TICKS, 0x046c                   # of the BIOS, 18.2 a second
        .set    EVERY, 9                        # of them
        .set    PORT, 0x3f8
        .set    STATUS, 0x600                   # of ACPI's fixed events; then their switches, and control
        .set    BUTTON, 0x100
        .set    OFF, 0x2000
_start:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        sti
        movb    %dl, drive
        movb    $0x42, %ah
        call    transfer
        movw    $BUTTON, %ax
        movw    $(STATUS + 2), %dx
        outw    %ax, %dx
        movw    $started, %si
        call    say
        call    tell
count:
        movw    TICKS, %bx
wait:
        hlt
        movw    $STATUS, %dx
        inw     %dx, %ax
        testw   $BUTTON, %ax
        jnz     off
        movw    TICKS, %cx
        subw    %bx, %cx
        cmpw    $EVERY, %cx
        jb      wait
        incl    NUMBER
        movw    $0x4300, %ax
        call    transfer
        call    tell
        jmp     count

off:
        movw    $OFF, %ax
        movw    $(STATUS + 4), %dx
        outw    %ax, %dx
        jmp     stop

transfer:                                       # ah: the BIOS's number for reading or writing
        movb    drive, %dl
        movw    $packet, %si
        int     $0x13
        jc      failed
        ret
failed:
        movw    $error, %si
        call    say
stop:
        hlt
        jmp     stop

tell:                                           # the number, as a line
        movl    NUMBER, %ebx
        movw    $8, %cx
digit:
        roll    $4, %ebx
        movb    %bl, %al
        andb    $15, %al
        addb    $'0', %al
        cmpb    $'9', %al
        jbe     decimal
        addb    $('a' - '9' - 1), %al
decimal:
        call    put
        loop    digit
        movb    $'\n', %al
        jmp     put

say:                                            # text at si, up to its zero
        lodsb
        testb   %al, %al
        jz      said
        call    put
        jmp     say
said:
        ret

put:                                            # al, once the line is free
        movw    $(PORT + 5), %dx
        movb    %al, %ah
busy:
        inb     %dx, %al
        testb   $0x20, %al
        jz      busy
        movw    $PORT, %dx
        movb    %ah, %al
        outb    %al, %dx
        ret

started:
        .asciz  "start "
error:
        .asciz  "error\n"
drive:
        .byte   0
packet:                                         # of int 0x13, extended: one sector, the second
        .byte   16, 0, 1, 0
        .word   NUMBER, 0
        .long   1, 0
        .org    510
        .word   0xaa55
