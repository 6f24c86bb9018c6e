/*
 * Hides instructions of this processor from the primitives of a program, so that a test can force each of their
 * backends on one machine. Linux on x86-64, loaded with LD_PRELOAD.
 *
 * CPUID cannot be intercepted on every processor. The primitives detect with the crate cpufeatures, which keeps each
 * answer in a static named STORAGE: 255 before the first question, then 1 or 0. This library writes 0 there before
 * main runs.
 *
 * TASKSEAL_HIDE names what is hidden, separated by spaces: aes vaes256 vaes512 clmul sha. A program without these
 * statics is left alone. One that has those of taskseal_core::acceleration, which reports, but not those of the
 * primitives is ended: a later version of a primitive has renamed them, and the report would be wrong.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Parts of the symbol names: of the primitive, and of what reports. Both mangling schemes of Rust write a name as its
 * length and its letters. The report on AES-NI asks the primitive.
 */
static const struct {
    const char *instructions;
    const char *of_primitive;
    const char *of_report;
} STATICS[] = {
    {"aes", "12features_aes7STORAGE", NULL},
    {"vaes256", "16features_vaes2567STORAGE", "5found7vaes2567STORAGE"},
    {"vaes512", "16features_vaes5127STORAGE", "5found7vaes5127STORAGE"},
    {"clmul", "15intrinsics_impl5clmul7STORAGE", "5found5clmul7STORAGE"},
    {"sha", "11shani_cpuid7STORAGE", "5found3sha7STORAGE"},
};
enum { COUNT = sizeof STATICS / sizeof *STATICS };

static int names(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        int begins = at == list || at[-1] == ' ';
        if (begins && (at[length] == '\0' || at[length] == ' ')) {
            return 1;
        }
    }
    return 0;
}

/* The program is the first object; the loader has moved it by `dlpi_addr`. */
static int load_address(struct dl_phdr_info *info, size_t size, void *address)
{
    (void)size;
    *(uintptr_t *)address = info->dlpi_addr;
    return 1;
}

static void hide(const unsigned char *image, size_t length, uintptr_t base, const char *list)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    if (length < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shoff + (size_t)header->e_shnum * sizeof(Elf64_Shdr) > length) {
        return;
    }
    int has_primitive[COUNT] = {0}, has_report[COUNT] = {0};
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(image + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) {
            continue;
        }
        const Elf64_Sym *symbols = (const Elf64_Sym *)(image + sections[i].sh_offset);
        const char *strings = (const char *)(image + sections[sections[i].sh_link].sh_offset);
        for (size_t j = 0; j < sections[i].sh_size / sizeof *symbols; j++) {
            if (ELF64_ST_TYPE(symbols[j].st_info) != STT_OBJECT || symbols[j].st_size != 1) {
                continue;
            }
            const char *name = strings + symbols[j].st_name;
            for (size_t k = 0; k < COUNT; k++) {
                int of_primitive = strstr(name, STATICS[k].of_primitive) != NULL;
                int of_report = STATICS[k].of_report != NULL && strstr(name, STATICS[k].of_report) != NULL;
                has_primitive[k] |= of_primitive;
                has_report[k] |= of_report;
                if ((of_primitive || of_report) && names(list, STATICS[k].instructions)) {
                    *(volatile unsigned char *)(base + symbols[j].st_value) = 0;
                }
            }
        }
    }
    for (size_t k = 0; k < COUNT; k++) {
        if (has_report[k] && !has_primitive[k] && names(list, STATICS[k].instructions)) {
            fprintf(stderr, "hide_instructions: no symbol %s: %s cannot be hidden\n", STATICS[k].of_primitive,
                    STATICS[k].instructions);
            _exit(86);
        }
    }
}

__attribute__((constructor)) static void hide_instructions(void)
{
    const char *list = getenv("TASKSEAL_HIDE");
    int file = list == NULL || *list == '\0' ? -1 : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0) {
        return;
    }
    if (fstat(file, &status) == 0 && status.st_size > 0) {
        size_t length = (size_t)status.st_size;
        const unsigned char *image = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
        if (image != MAP_FAILED) {
            uintptr_t base = 0;
            dl_iterate_phdr(load_address, &base);
            hide(image, length, base, list);
            munmap((void *)image, length);
        }
    }
    close(file);
}
