/* Preloaded, hides the capabilities of the processor from a program: primitives that query them use portable code. */
unsigned long getauxval(unsigned long type) {
    (void)type;
    return 0;
}
