/* Loaded before the C library, it hides from a program what its processor has: primitives that ask take their portable code. */
unsigned long getauxval(unsigned long type) {
    (void)type;
    return 0;
}
