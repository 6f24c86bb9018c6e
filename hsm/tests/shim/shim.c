/* A PKCS#11 module in front of another one. It passes every call on, and causes the faults that its control folder
 * requests.
 *
 * SHIM_MODULE is the path of the module behind it, SHIM_FOLDER that of the control folder. A file there is a fault:
 *
 *   rv.C_Name     (once)  the next call of C_SignInit, C_Sign, C_OpenSession, C_Login, C_DeriveKey, C_WrapKey,
 *                         C_UnwrapKey, C_GetTokenInfo or C_GenerateRandom fails with the code in the file
 *   every.C_Login         every login of the user fails with this code
 *   every.C_DeriveKey     every key agreement fails with this code
 *   longest               C_Sign fails with CKR_DATA_LEN_RANGE, or the code in `longest_code`, for more than this many bytes
 *   counted       (once)  renamed to `flags` when a login fails by one of these: the token has counted a wrong PIN
 *   close_all     (once)  C_CloseAllSessions is called before the next C_SignInit or C_DeriveKey
 *   logout        (once)  C_Logout is called before the next C_SignInit or C_DeriveKey
 *                         Both wait until no other thread is in a call that uses a session.
 *   hang          (once)  the next signature waits, at most 30 s. The file is renamed to `hanging`; removing that ends
 *                         the wait.
 *   hang_derive, hang_login
 *                 (once)  the same for a key agreement (`hanging_derive`) and a login of the user (`hanging_login`)
 *   delay, delay_derive, delay_login
 *                         every signature, key agreement or login takes this many additional milliseconds
 *   garbage               one bit of every signature is flipped
 *   garbage_once  (once)  one bit of the next signature is flipped
 *   garbage_wrap  (once)  one bit of the next wrapped key is flipped
 *   garbage_derive        every key agreement uses another point
 *   hidden                C_GetAttributeValue does not return the attribute with this number
 *   flags                 this value is set in the flags of every token
 *   serial                every token has this serial number
 *   broken                C_GetTokenInfo fails for the token with this label
 *   slot_offset           slot numbers are increased by this value, so that previous numbers are invalid
 *   read_only             C_SetAttributeValue fails, as with tokens that assign ids themselves
 *   fork          (once)  C_GetInfo forks and waits for the child; fails if the child does
 *
 * Calls of C_Initialize, C_Login, C_SignInit and C_GenerateRandom are recorded in the file `calls`, with the handle of
 * the key if there is one; so are sessions that were opened and closed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long num;

/* Positions in the function list of version 2.40. */
enum {
    F_Initialize = 0, F_GetInfo = 2, F_GetFunctionList = 3, F_GetSlotList = 4, F_GetSlotInfo = 5, F_GetTokenInfo = 6,
    F_GetMechanismList = 7, F_GetMechanismInfo = 8, F_InitToken = 9, F_OpenSession = 12, F_CloseSession = 13,
    F_CloseAllSessions = 14,
    F_GetSessionInfo = 15, F_Login = 18, F_Logout = 19, F_CreateObject = 20, F_DestroyObject = 22, F_GetAttributeValue = 24,
    F_SetAttributeValue = 25, F_FindObjectsInit = 26, F_FindObjects = 27, F_FindObjectsFinal = 28, F_SignInit = 42, F_Sign = 43,
    F_WrapKey = 60, F_UnwrapKey = 61, F_DeriveKey = 62,
    F_GenerateRandom = 64, F_COUNT = 68
};

struct list {
    unsigned char major, minor;
    void *function[F_COUNT];
};

struct session_info {
    num slot, state, flags, error;
};

struct attribute {
    num type;
    void *value;
    num len;
};

struct mechanism {
    num type;
    void *parameter;
    num len;
};

struct ecdh {
    num kdf, shared_len;
    unsigned char *shared;
    num point_len;
    unsigned char *point;
};

enum { OK = 0, GENERAL_ERROR = 5, ATTRIBUTE_READ_ONLY = 0x10, ATTRIBUTE_TYPE_INVALID = 0x12, DATA_LEN_RANGE = 0x21, DEVICE_ERROR = 0x30 };
enum { LABEL_LEN = 32, SERIAL_AT = 80, SERIAL_LEN = 16, FLAGS_AT = 96, USER = 1 };

/* Held for reading by every call that uses a session, and for writing by calls that close sessions of others. */
static pthread_rwlock_t calls = PTHREAD_RWLOCK_INITIALIZER;

static struct list real, ours;

#define REAL(name, ...) ((num (*)(__VA_ARGS__))real.function[F_##name])

/* A call that is passed on unchanged, while no other thread closes its session. */
#define PASSED_ON(name, parameters, types, arguments)                \
    static num passed_on_##name parameters {                         \
        num code;                                                    \
        pthread_rwlock_rdlock(&calls);                               \
        code = ((num (*) types)real.function[F_##name]) arguments;   \
        pthread_rwlock_unlock(&calls);                               \
        return code;                                                 \
    }

PASSED_ON(CloseSession, (num session), (num), (session))
PASSED_ON(GetSessionInfo, (num session, struct session_info *info), (num, struct session_info *), (session, info))
PASSED_ON(GetAttributeValue, (num session, num object, struct attribute *template, num count),
          (num, num, struct attribute *, num), (session, object, template, count))
PASSED_ON(WrapKey, (num session, void *mechanism, num kek, num key, unsigned char *wrapped, num *len),
          (num, void *, num, num, unsigned char *, num *), (session, mechanism, kek, key, wrapped, len))
PASSED_ON(UnwrapKey, (num session, void *mechanism, num kek, unsigned char *wrapped, num len, void *template, num count, num *key),
          (num, void *, num, unsigned char *, num, void *, num, num *),
          (session, mechanism, kek, wrapped, len, template, count, key))
PASSED_ON(CreateObject, (num session, void *template, num count, num *object), (num, void *, num, num *),
          (session, template, count, object))
PASSED_ON(DestroyObject, (num session, num object), (num, num), (session, object))
PASSED_ON(FindObjectsInit, (num session, void *template, num count), (num, void *, num), (session, template, count))
PASSED_ON(FindObjects, (num session, num *objects, num most, num *count), (num, num *, num, num *),
          (session, objects, most, count))
PASSED_ON(FindObjectsFinal, (num session), (num), (session))

static void path_of(char *path, size_t len, const char *name) {
    const char *folder = getenv("SHIM_FOLDER");
    snprintf(path, len, "%s/%s", folder ? folder : "/nonexistent", name);
}

/* Reads a control file. Returns 0 if there is none. */
static int content(const char *name, char *text, size_t len) {
    char path[4096];
    ssize_t got;
    int file;
    path_of(path, sizeof path, name);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    got = read(file, text, len - 1);
    close(file);
    text[got < 0 ? 0 : got] = 0;
    return 1;
}

static int number(const char *name, num *value) {
    char text[64];
    if (!content(name, text, sizeof text)) return 0;
    *value = strtoul(text, NULL, 0);
    return 1;
}

/* Renames a control file. Of several threads, one succeeds. */
static int take(const char *name, const char *as) {
    char path[4096], taken[4096];
    path_of(path, sizeof path, name);
    path_of(taken, sizeof taken, as);
    return rename(path, taken) == 0;
}

static int once(const char *name, num *value) {
    char as[128];
    snprintf(as, sizeof as, "%s.taken", name);
    return number(name, value) && take(name, as);
}

static void record(const char *call, num value) {
    char path[4096], line[128];
    int file, len;
    path_of(path, sizeof path, "calls");
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    len = snprintf(line, sizeof line, "%s %lu\n", call, value);
    if (write(file, line, len) != len) abort();
    close(file);
}

static void pause_ms(num ms) {
    struct timespec time = { ms / 1000, (ms % 1000) * 1000000 };
    nanosleep(&time, NULL);
}

static void maybe_hang(const char *fault, const char *as) {
    char path[4096];
    int turns;
    if (!take(fault, as)) return;
    path_of(path, sizeof path, as);
    for (turns = 0; turns < 3000 && access(path, F_OK) == 0; turns++) pause_ms(10);
}

static num offset(void) {
    num value = 0;
    number("slot_offset", &value);
    return value;
}

/* Causes the faults that precede the use of a key. */
static num before_use(num session) {
    struct session_info info;
    num code;
    char nothing[8];
    if (content("close_all", nothing, sizeof nothing) && take("close_all", "close_all.taken")
        && REAL(GetSessionInfo, num, struct session_info *)(session, &info) == OK) {
        pthread_rwlock_wrlock(&calls);
        REAL(CloseAllSessions, num)(info.slot);
        pthread_rwlock_unlock(&calls);
    }
    if (content("logout", nothing, sizeof nothing) && take("logout", "logout.taken")) {
        pthread_rwlock_wrlock(&calls);
        REAL(Logout, num)(session);
        pthread_rwlock_unlock(&calls);
    }
    return once("rv.C_SignInit", &code) ? code : OK;
}

static num initialize(void *arguments) {
    record("C_Initialize", 0);
    return REAL(Initialize, void *)(arguments);
}

static num get_info(void *info) {
    char nothing[8];
    if (content("fork", nothing, sizeof nothing) && take("fork", "fork.taken")) {
        int status;
        pid_t child = fork();
        if (child < 0) return GENERAL_ERROR;
        if (child > 0) {
            if (waitpid(child, &status, 0) != child || status != 0) return GENERAL_ERROR;
        }
    }
    return REAL(GetInfo, void *)(info);
}

static num get_slot_list(unsigned char present, num *slots, num *count) {
    num code = REAL(GetSlotList, unsigned char, num *, num *)(present, slots, count), at;
    if (code == OK && slots)
        for (at = 0; at < *count; at++) slots[at] += offset();
    return code;
}

static num get_slot_info(num slot, void *info) {
    return REAL(GetSlotInfo, num, void *)(slot - offset(), info);
}

static num get_token_info(num slot, unsigned char *info) {
    char label[64];
    num flags, more, code;
    if (once("rv.C_GetTokenInfo", &code)) return code;
    code = REAL(GetTokenInfo, num, unsigned char *)(slot - offset(), info);
    if (code != OK) return code;
    if (content("broken", label, sizeof label) && strlen(label) <= LABEL_LEN && memcmp(label, info, strlen(label)) == 0)
        return DEVICE_ERROR;
    if (content("serial", label, sizeof label)) {
        memset(info + SERIAL_AT, ' ', SERIAL_LEN);
        memcpy(info + SERIAL_AT, label, strnlen(label, SERIAL_LEN));
    }
    if (number("flags", &more)) {
        memcpy(&flags, info + FLAGS_AT, sizeof flags);
        flags |= more;
        memcpy(info + FLAGS_AT, &flags, sizeof flags);
    }
    return OK;
}

static num get_mechanism_list(num slot, num *list, num *count) {
    return REAL(GetMechanismList, num, num *, num *)(slot - offset(), list, count);
}

static num get_mechanism_info(num slot, num type, void *info) {
    return REAL(GetMechanismInfo, num, num, void *)(slot - offset(), type, info);
}

static num init_token(num slot, unsigned char *pin, num len, unsigned char *label) {
    return REAL(InitToken, num, unsigned char *, num, unsigned char *)(slot - offset(), pin, len, label);
}

static num open_session(num slot, num flags, void *application, void *notify, num *session) {
    num code;
    if (once("rv.C_OpenSession", &code)) return code;
    pthread_rwlock_rdlock(&calls);
    code = REAL(OpenSession, num, num, void *, void *, num *)(slot - offset(), flags, application, notify, session);
    pthread_rwlock_unlock(&calls);
    if (code == OK) record("C_OpenSession", *session);
    return code;
}

static num close_session(num session) {
    num code = passed_on_CloseSession(session);
    if (code == OK) record("C_CloseSession", session);
    return code;
}

static num get_session_info(num session, struct session_info *info) {
    num code = passed_on_GetSessionInfo(session, info);
    if (code == OK) info->slot += offset();
    return code;
}

static num get_attribute_value(num session, num object, struct attribute *template, num count) {
    num hidden, at, code = passed_on_GetAttributeValue(session, object, template, count);
    if (!number("hidden", &hidden)) return code;
    for (at = 0; at < count; at++)
        if (template[at].type == hidden) {
            template[at].len = (num)-1;
            if (code == OK) code = ATTRIBUTE_TYPE_INVALID;
        }
    return code;
}

static num close_all_sessions(num slot) {
    return REAL(CloseAllSessions, num)(slot - offset());
}

static num login(num session, num user, unsigned char *pin, num len) {
    num code, ms;
    record("C_Login", user);
    if (user == USER) {
        maybe_hang("hang_login", "hanging_login");
        if (number("delay_login", &ms)) pause_ms(ms);
        if (number("every.C_Login", &code) || once("rv.C_Login", &code)) {
            take("counted", "flags");
            return code;
        }
    }
    return REAL(Login, num, num, unsigned char *, num)(session, user, pin, len);
}

static num set_attribute_value(num session, num object, void *template, num count) {
    char nothing[8];
    if (content("read_only", nothing, sizeof nothing)) return ATTRIBUTE_READ_ONLY;
    return REAL(SetAttributeValue, num, num, void *, num)(session, object, template, count);
}

static num sign_init(num session, void *mechanism, num key) {
    num code = before_use(session);
    record("C_SignInit", key);
    if (code != OK) return code;
    pthread_rwlock_rdlock(&calls);
    code = REAL(SignInit, num, void *, num)(session, mechanism, key);
    pthread_rwlock_unlock(&calls);
    return code;
}

static num sign(num session, unsigned char *data, num data_len, unsigned char *signature, num *len) {
    num code, ms, longest;
    char nothing[8];
    /* A request for the length does not sign. */
    if (!signature) {
        pthread_rwlock_rdlock(&calls);
        code = REAL(Sign, num, unsigned char *, num, unsigned char *, num *)(session, data, data_len, NULL, len);
        pthread_rwlock_unlock(&calls);
        return code;
    }
    if (once("rv.C_Sign", &code)) return code;
    if (number("longest", &longest) && data_len > longest) {
        /* A failed C_Sign ends the operation. */
        pthread_rwlock_rdlock(&calls);
        REAL(Sign, num, unsigned char *, num, unsigned char *, num *)(session, data, longest, signature, len);
        pthread_rwlock_unlock(&calls);
        return number("longest_code", &code) ? code : DATA_LEN_RANGE;
    }
    maybe_hang("hang", "hanging");
    if (number("delay", &ms)) pause_ms(ms);
    pthread_rwlock_rdlock(&calls);
    code = REAL(Sign, num, unsigned char *, num, unsigned char *, num *)(session, data, data_len, signature, len);
    pthread_rwlock_unlock(&calls);
    if (code == OK && (content("garbage", nothing, sizeof nothing) || take("garbage_once", "garbage_once.taken")))
        signature[*len / 2 - 1] ^= 1;
    return code;
}

/* The generator of P-256, used in place of the requested point. */
static unsigned char generator[] = {
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
    0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
};

static num derive_key(num session, struct mechanism *mechanism, num key, void *template, num count, num *derived) {
    num ms, code = before_use(session);
    char nothing[8];
    struct ecdh other;
    struct mechanism with_other = *mechanism;
    if (code != OK || number("every.C_DeriveKey", &code) || once("rv.C_DeriveKey", &code)) return code;
    maybe_hang("hang_derive", "hanging_derive");
    if (number("delay_derive", &ms)) pause_ms(ms);
    if (content("garbage_derive", nothing, sizeof nothing) && mechanism->len == sizeof other) {
        memcpy(&other, mechanism->parameter, sizeof other);
        other.point = generator;
        other.point_len = sizeof generator;
        with_other.parameter = &other;
    }
    pthread_rwlock_rdlock(&calls);
    code = REAL(DeriveKey, num, void *, num, void *, num, num *)(session, &with_other, key, template, count, derived);
    pthread_rwlock_unlock(&calls);
    return code;
}

static num wrap_key(num session, void *mechanism, num kek, num key, unsigned char *wrapped, num *len) {
    num code;
    /* A request for the length does not wrap. */
    if (wrapped && once("rv.C_WrapKey", &code)) return code;
    code = passed_on_WrapKey(session, mechanism, kek, key, wrapped, len);
    if (code == OK && wrapped && take("garbage_wrap", "garbage_wrap.taken")) wrapped[*len / 2] ^= 1;
    return code;
}

static num unwrap_key(num session, void *mechanism, num kek, unsigned char *wrapped, num len, void *template, num count,
                      num *key) {
    num code;
    if (once("rv.C_UnwrapKey", &code)) return code;
    return passed_on_UnwrapKey(session, mechanism, kek, wrapped, len, template, count, key);
}

static num generate_random(num session, unsigned char *bytes, num len) {
    num code;
    record("C_GenerateRandom", len);
    if (once("rv.C_GenerateRandom", &code)) return code;
    return REAL(GenerateRandom, num, unsigned char *, num)(session, bytes, len);
}

num C_GetFunctionList(struct list **list);

static void load(void) {
    num (*get)(struct list **);
    struct list *behind;
    const char *path = getenv("SHIM_MODULE");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) return;
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (!get || get(&behind) != OK) return;
    real = *behind;
    ours = real;
    ours.major = 2;
    ours.minor = 40;
    ours.function[F_GetFunctionList] = C_GetFunctionList;
    ours.function[F_Initialize] = initialize;
    ours.function[F_GetInfo] = get_info;
    ours.function[F_GetSlotList] = get_slot_list;
    ours.function[F_GetSlotInfo] = get_slot_info;
    ours.function[F_GetTokenInfo] = get_token_info;
    ours.function[F_GetMechanismList] = get_mechanism_list;
    ours.function[F_GetMechanismInfo] = get_mechanism_info;
    ours.function[F_InitToken] = init_token;
    ours.function[F_OpenSession] = open_session;
    ours.function[F_CloseSession] = close_session;
    ours.function[F_CloseAllSessions] = close_all_sessions;
    ours.function[F_GetSessionInfo] = get_session_info;
    ours.function[F_CreateObject] = passed_on_CreateObject;
    ours.function[F_DestroyObject] = passed_on_DestroyObject;
    ours.function[F_GetAttributeValue] = get_attribute_value;
    ours.function[F_FindObjectsInit] = passed_on_FindObjectsInit;
    ours.function[F_FindObjects] = passed_on_FindObjects;
    ours.function[F_FindObjectsFinal] = passed_on_FindObjectsFinal;
    ours.function[F_Login] = login;
    ours.function[F_SetAttributeValue] = set_attribute_value;
    ours.function[F_SignInit] = sign_init;
    ours.function[F_Sign] = sign;
    ours.function[F_WrapKey] = wrap_key;
    ours.function[F_UnwrapKey] = unwrap_key;
    ours.function[F_DeriveKey] = derive_key;
    ours.function[F_GenerateRandom] = generate_random;
}

num C_GetFunctionList(struct list **list) {
    if (!real.function[F_Initialize]) load();
    if (!real.function[F_Initialize]) return GENERAL_ERROR;
    *list = &ours;
    return OK;
}
