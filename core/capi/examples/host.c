// Seals and opens a task in every suite on a host, and checks refusals.
//
//     cc host.c $(pkg-config --cflags --libs taskseal) -o host && ./host
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "taskseal.h"

#define NOW 1763751000u

// The library calls this when an invariant is broken.
void taskseal_panic(void) {
    abort();
}

static int checks, failures;

static void expect(const char *what, int32_t code, int32_t expected) {
    checks++;
    if (code != expected) {
        failures++;
        printf("%s: %s (%d), not %s\n", what, code < 0 ? taskseal_error_name(code) : "success", (int)code,
               expected < 0 ? taskseal_error_name(expected) : "success");
    }
}

// On a real host: getrandom(2) or /dev/urandom.
static int32_t draw(void *context, uint8_t *bytes, size_t length) {
    return fread(bytes, 1, length, context) == length ? 0 : -1;
}

static int32_t draw_nothing(void *context, uint8_t *bytes, size_t length) {
    (void)context, (void)bytes, (void)length;
    return -1;
}

static int32_t now(void *context, taskseal_time *time) {
    time->earliest = time->latest = *(const uint64_t *)context;
    return 0;
}

// A custom signer: counts calls and signs with the key in memory.
struct counting {
    taskseal_signer signer;
    int calls;
};

static int32_t count_and_sign(void *context, const uint8_t *digest, uint8_t *signature) {
    struct counting *counting = context;
    counting->calls++;
    return counting->signer.sign_digest(counting->signer.context, digest, signature);
}

static int32_t refuse_to_sign(void *context, const uint8_t *digest, uint8_t *signature) {
    (void)context, (void)digest, (void)signature;
    return -1;
}

static int32_t draw_but_fill_nothing(void *context, uint8_t *bytes, size_t length) {
    (void)context, (void)bytes, (void)length;
    return 0;
}

static int32_t agree_never(void *context, const uint8_t *point, uint8_t *shared) {
    (void)context, (void)point, (void)shared;
    return -1;
}

static const char BODY[] = "{\"celsius\":21.5}";

static taskseal_signing_key signing_key;
static taskseal_verifying_key verifying_key;
static taskseal_mac_key mac_key;
static taskseal_encryption_key encryption_key, inner_key;
static taskseal_agreement_key agreement_key;
static taskseal_agreement_public_key recipient;
static taskseal_hedge_key hedge_key;
static taskseal_signer signer;
static taskseal_agreement agreement;
static taskseal_replay_slot slots[16];
static taskseal_replay_window window;
static taskseal_guard guard;
static taskseal_policy policy;
static uint64_t time_now = NOW;
static taskseal_rng rng = {.fill = draw};

static taskseal_task new_task(uint8_t id) {
    taskseal_task task = {
        .claims = {
            .issuer = TASKSEAL_TEXT_INIT("sensor-17"),
            .task_type = TASKSEAL_TEXT_INIT("reading:store"),
            .audience = TASKSEAL_TEXT_INIT("plant-a/ingest"),
            .task_id = {id},
            .present = TASKSEAL_HAS_ISSUED_AT | TASKSEAL_HAS_EXPIRES_AT,
            .issued_at = NOW,
            .expires_at = NOW + 3600,
        },
        .content_type = TASKSEAL_TEXT_INIT("application/json"),
        .body = (const uint8_t *)BODY,
        .body_length = sizeof BODY - 1,
    };
    return task;
}

static int32_t seal(uint32_t suite, const taskseal_task *task, uint8_t *out, size_t size) {
    switch (suite) {
    case TASKSEAL_SUITE_S:
        return taskseal_seal_s(task, &signer, out, size);
    case TASKSEAL_SUITE_M:
        return taskseal_seal_m(task, &mac_key, out, size);
    case TASKSEAL_SUITE_E:
        return taskseal_seal_e(task, &encryption_key, &rng, out, size);
    case TASKSEAL_SUITE_SE:
        return taskseal_seal_se(task, &signer, &inner_key, &rng, out, size);
    default:
        return taskseal_seal_sp(task, &signer, &recipient, &rng, out, size);
    }
}

static void check_suite(uint32_t suite, const char *name, const taskseal_verifier *verifier) {
    const taskseal_task task = new_task((uint8_t)suite);
    const taskseal_decryption keys = {
        .encryption_key = suite == TASKSEAL_SUITE_E ? &encryption_key : &inner_key,
        .agreement = &agreement,
    };
    const taskseal_decryption none = {0};
    taskseal_verified verified;
    uint8_t body[64];

    // The required size is available before sealing.
    const int32_t length = seal(suite, &task, NULL, 0);
    expect("length", length > 0, 1);
    uint8_t *envelope = malloc((size_t)length);
    expect("a buffer that is one byte short", seal(suite, &task, envelope, (size_t)length - 1), TASKSEAL_BUFFER_TOO_SMALL);
    expect("seal", seal(suite, &task, envelope, (size_t)length), length);

    expect("verify", taskseal_verify(verifier, envelope, (size_t)length, &verified), 0);
    expect("suite", (int32_t)verified.suite, (int32_t)suite);
    expect("issuer", memcmp(verified.claims.issuer.start, "sensor-17", 9), 0);
    const int encrypted = suite != TASKSEAL_SUITE_S && suite != TASKSEAL_SUITE_M;
    expect("body of what is encrypted", verified.body == NULL, encrypted);

    if (encrypted) {
        taskseal_replay_window_init(&window, slots, 16);
        expect("open without keys", taskseal_open(verifier, &guard, &none, envelope, (size_t)length, body, sizeof body, &verified),
               TASKSEAL_NO_DECRYPTION_KEY);
        // A short buffer is an error before the guard is called: it costs no attempt.
        taskseal_replay_window_init(&window, slots, 16);
        taskseal_task once = task;
        once.claims.present |= TASKSEAL_HAS_ATTEMPTS;
        once.claims.attempts = 1;
        uint8_t sealed[640];
        const int32_t size = seal(suite, &once, sealed, sizeof sealed);
        expect("open into nothing", taskseal_open(verifier, &guard, &keys, sealed, (size_t)size, NULL, 0, &verified), TASKSEAL_BUFFER_TOO_SMALL);
        expect("the output is cleared", verified.body_length == 0 && verified.claims.issuer.start == NULL, 1);
        expect("one byte short", taskseal_open(verifier, &guard, &keys, sealed, (size_t)size, body, sizeof BODY - 2, &verified), TASKSEAL_BUFFER_TOO_SMALL);
        expect("over the envelope", taskseal_open(verifier, &guard, &keys, sealed, (size_t)size, sealed + 8, sizeof body, &verified), TASKSEAL_INVALID_ARGUMENT);
        expect("length", taskseal_verify(verifier, sealed, (size_t)size, &verified), 0);
        expect("body_length", (int32_t)verified.body_length, (int32_t)sizeof BODY - 1);
        expect("the one attempt", taskseal_open(verifier, &guard, &keys, sealed, (size_t)size, body, verified.body_length, &verified), (int32_t)sizeof BODY - 1);
        expect("no other", taskseal_open(verifier, &guard, &keys, sealed, (size_t)size, body, sizeof body, &verified), TASKSEAL_ATTEMPTS_EXHAUSTED);
    }

    taskseal_replay_window_init(&window, slots, 16);
    const int32_t opened = taskseal_open(verifier, &guard, &keys, envelope, (size_t)length, body, sizeof body, &verified);
    expect("open", opened, (int32_t)sizeof BODY - 1);
    expect("body", opened > 0 ? memcmp(verified.body, BODY, (size_t)opened) : -1, 0);
    expect("first run", verified.admission, TASKSEAL_FIRST_RUN);
    expect("again", taskseal_open(verifier, &guard, &keys, envelope, (size_t)length, body, sizeof body, &verified) < 0, 0);
    expect("redelivery", verified.admission, TASKSEAL_REDELIVERY);
    expect("finish", taskseal_replay_window_finish(&window, task.claims.issuer, task.claims.task_id), 1);
    expect("replay", taskseal_open(verifier, &guard, &keys, envelope, (size_t)length, body, sizeof body, &verified), TASKSEAL_REPLAYED);
    taskseal_wipe(body, sizeof body);

    // Changed, removed and added bytes are refused.
    for (size_t place = 0; place < (size_t)length; place++) {
        envelope[place] ^= 1;
        expect("a changed byte", taskseal_verify(verifier, envelope, (size_t)length, &verified) < 0, 1);
        envelope[place] ^= 1;
    }
    for (size_t cut = 0; cut < (size_t)length; cut++) {
        uint8_t *part = malloc(cut + 1); // A separate buffer, so that an overread is detected.
        memcpy(part, envelope, cut);
        expect("a cut", taskseal_verify(verifier, part, cut, &verified) < 0, 1);
        free(part);
    }
    time_now = NOW + 3600 + 61;
    expect("too late", taskseal_verify(verifier, envelope, (size_t)length, &verified), TASKSEAL_EXPIRED);
    time_now = NOW - 61;
    expect("too early", taskseal_verify(verifier, envelope, (size_t)length, &verified), TASKSEAL_ISSUED_IN_FUTURE);
    time_now = NOW;
    const uint32_t suites = policy.suites;
    policy.suites = suites & ~suite;
    expect("another policy", taskseal_verify(verifier, envelope, (size_t)length, &verified), TASKSEAL_SUITE_NOT_ALLOWED);
    policy.suites = suites;
    policy.audience = TASKSEAL_TEXT("plant-b/ingest");
    expect("another queue", taskseal_verify(verifier, envelope, (size_t)length, &verified), TASKSEAL_WRONG_AUDIENCE);
    policy.audience = TASKSEAL_TEXT("plant-a/ingest");
    free(envelope);
    printf("%-2s %3d bytes, %d more than the body\n", name, (int)length, (int)length - (int)(sizeof BODY - 1));
}

static void check_errors(const taskseal_verifier *verifier) {
    taskseal_task task = new_task(99);
    taskseal_verified verified;
    uint8_t out[640], again[640];
    const size_t size = sizeof out;

    expect("NULL", taskseal_seal_m(NULL, &mac_key, out, size), TASKSEAL_NULL_POINTER);
    expect("NULL key", taskseal_seal_m(&task, NULL, out, size), TASKSEAL_NULL_POINTER);
    const taskseal_mac_key zeroed = {0};
    expect("zeroed key", taskseal_seal_m(&task, &zeroed, out, size), TASKSEAL_NO_KEY);
    expect("a key of another type", taskseal_seal_m(&task, (const taskseal_mac_key *)(const void *)&encryption_key, out, size), TASKSEAL_NO_KEY);
    expect("no callback", taskseal_seal_s(&task, &(taskseal_signer){0}, out, size), TASKSEAL_NULL_POINTER);
    const taskseal_signer refusing = {.sign_digest = refuse_to_sign};
    expect("signer", taskseal_seal_s(&task, &refusing, out, size), TASKSEAL_SIGNER_FAILED);
    const taskseal_rng empty = {.fill = draw_nothing};
    expect("randomness", taskseal_seal_e(&task, &encryption_key, &empty, out, size), TASKSEAL_NO_RANDOMNESS);
    const taskseal_rng idle = {.fill = draw_but_fill_nothing};
    expect("a source that fills nothing", taskseal_seal_e(&task, &encryption_key, &idle, out, size), TASKSEAL_NO_RANDOMNESS);
    task.claims.issuer = TASKSEAL_TEXT("two words");
    expect("name", taskseal_seal_m(&task, &mac_key, out, size), TASKSEAL_INVALID_NAME);
    task = new_task(99);
    task.claims.present |= 1u << 31;
    expect("unknown claim", taskseal_seal_m(&task, &mac_key, out, size), TASKSEAL_INVALID_ARGUMENT);
    task = new_task(99);
    task.claims.present &= ~(uint32_t)TASKSEAL_HAS_EXPIRES_AT;
    expect("claims", taskseal_seal_m(&task, &mac_key, out, size), TASKSEAL_INCONSISTENT_CLAIMS);
    task = new_task(99);
    task.claims.issued_at = (uint64_t)1 << 40;
    expect("milliseconds", taskseal_seal_m(&task, &mac_key, out, size), TASKSEAL_INCONSISTENT_CLAIMS);
    task.body = out;
    expect("the body in the output", taskseal_seal_m(&task, &mac_key, out, size), TASKSEAL_INVALID_ARGUMENT);
    expect("a length", strcmp(taskseal_error_name(17), "ok"), 0);
    expect("a text of a string", (int32_t)taskseal_text_of("sensor").length, 6);
    expect("a text of none", (int32_t)taskseal_text_of(NULL).length, 0);
    task = new_task(99);
    task.kind = 2;
    expect("kind", taskseal_seal_m(&task, &mac_key, out, size), TASKSEAL_INVALID_ARGUMENT);
    task = new_task(99);
    task.body_length = TASKSEAL_MAX_BODY + 1;
    expect("body", taskseal_seal_m(&task, &mac_key, NULL, 0), TASKSEAL_BODY_TOO_LONG);

    uint8_t point[TASKSEAL_POINT_LEN] = {4, 1};
    taskseal_verifying_key off_the_curve = {0};
    expect("a point off the curve", taskseal_verifying_key_init(&off_the_curve, point), TASKSEAL_INVALID_KEY);
    taskseal_signing_key invalid = {0};
    const uint8_t zero[32] = {0};
    expect("a scalar of zero", taskseal_signing_key_init(&invalid, zero), TASKSEAL_INVALID_KEY);

    const uint8_t one[32] = {[31] = 1};
    uint8_t invalid_kid[8];
    expect("a scalar of one", taskseal_signing_key_init(&invalid, one), 0);
    expect("a scalar of zero in its place", taskseal_signing_key_init(&invalid, zero), TASKSEAL_INVALID_KEY);
    expect("neither is there", taskseal_signing_key_kid(&invalid, invalid_kid), TASKSEAL_NO_KEY);

    // An undefined bit.
    taskseal_policy vague = *verifier->policy;
    taskseal_verifier by_vague = *verifier;
    by_vague.policy = &vague;
    vague.suites |= 1u << 9;
    task = new_task(98);
    int32_t vaguely = taskseal_seal_m(&task, &mac_key, out, size);
    expect("an unknown suite", taskseal_verify(&by_vague, out, (size_t)vaguely, &verified), TASKSEAL_INVALID_ARGUMENT);
    vague.suites = verifier->policy->suites;
    vague.accept |= 1u << 9;
    expect("an unknown permission", taskseal_verify(&by_vague, out, (size_t)vaguely, &verified), TASKSEAL_INVALID_ARGUMENT);

    // The same key in two records, and a record without one.
    const taskseal_record twice[2] = {verifier->records[0], verifier->records[0]};
    expect("twice", taskseal_records_check(twice, 2), TASKSEAL_INVALID_ARGUMENT);
    const taskseal_record without = {0};
    expect("without", taskseal_records_check(&without, 1), TASKSEAL_INVALID_ARGUMENT);
    expect("records", taskseal_records_check(verifier->records, verifier->record_count), 0);

    // Without a clock tasks with times are refused; tasks with a sequence are accepted if the policy allows it.
    task = new_task(100);
    int32_t length = taskseal_seal_m(&task, &mac_key, out, size);
    taskseal_verifier blind = *verifier;
    blind.clock = NULL;
    expect("no clock", taskseal_verify(&blind, out, (size_t)length, &verified), TASKSEAL_TIME_UNKNOWN);
    task.claims.present = TASKSEAL_HAS_SEQUENCE;
    task.claims.clock = TASKSEAL_CLOCK_NONE;
    task.claims.sequence_epoch = 3;
    task.claims.sequence_counter = 7;
    length = taskseal_seal_m(&task, &mac_key, out, size);
    expect("clockless", taskseal_verify(&blind, out, (size_t)length, &verified), TASKSEAL_CLOCK_NOT_ALLOWED);
    policy.accept |= TASKSEAL_ACCEPT_CLOCKLESS;
    expect("clockless, wanted", taskseal_verify(&blind, out, (size_t)length, &verified), 0);
    expect("counter", (int32_t)verified.claims.sequence_counter, 7);
    policy.accept = 0;

    // An unavailable key store.
    task = new_task(101);
    length = taskseal_seal_sp(&task, &signer, &recipient, &rng, out, size);
    taskseal_agreement away = agreement;
    away.agree = agree_never;
    const taskseal_decryption keys = {.agreement = &away};
    uint8_t body[64];
    expect("key store", taskseal_open(verifier, &guard, &keys, out, (size_t)length, body, sizeof body, &verified), TASKSEAL_KEY_UNAVAILABLE);

    // A custom signer.
    struct counting counting = {.signer = signer};
    const taskseal_signer own = {.sign_digest = count_and_sign, .context = &counting, .kid = {0}};
    taskseal_signer with_kid = own;
    memcpy(with_kid.kid, signer.kid, 8);
    length = taskseal_seal_s(&task, &with_kid, out, size);
    expect("own signer", taskseal_verify(verifier, out, (size_t)length, &verified), 0);
    expect("calls", counting.calls, 1);

    // Hedged: without any randomness the same task gives the same bytes, another task others.
    length = taskseal_seal_se_hedged(&task, &signer, &inner_key, &hedge_key, NULL, out, size);
    expect("hedged", taskseal_verify(verifier, out, (size_t)length, &verified), 0);
    expect("hedged again", taskseal_seal_se_hedged(&task, &signer, &inner_key, &hedge_key, NULL, again, size), length);
    expect("same", memcmp(out, again, (size_t)length), 0);
    task.claims.task_id[15] = 1;
    expect("hedged other", taskseal_seal_se_hedged(&task, &signer, &inner_key, &hedge_key, NULL, again, size), length);
    expect("other", memcmp(out, again, (size_t)length) != 0, 1);
    expect("hedged E", taskseal_seal_e_hedged(&task, &encryption_key, &hedge_key, &rng, again, size) > 0, 1);
    expect("hedged SP", taskseal_seal_sp_hedged(&task, &signer, &recipient, &hedge_key, &rng, again, size) > 0, 1);

    // A window full of tasks that could still run admits no other task.
    taskseal_replay_slot one_slot;
    taskseal_replay_window small;
    taskseal_guard full;
    taskseal_replay_window_init(&small, &one_slot, 1);
    taskseal_window_guard(&full, &small);
    for (uint8_t id = 110; id < 112; id++) {
        task = new_task(id);
        length = taskseal_seal_m(&task, &mac_key, out, size);
        expect("full", taskseal_open(verifier, &full, NULL, out, (size_t)length, NULL, 0, &verified),
               id == 110 ? (int32_t)sizeof BODY - 1 : TASKSEAL_GUARD_UNAVAILABLE);
    }
    expect("no slots", taskseal_replay_window_init(&small, &one_slot, 0), TASKSEAL_INVALID_ARGUMENT);
    expect("no guard", taskseal_open(verifier, NULL, NULL, out, (size_t)length, NULL, 0, &verified), TASKSEAL_NULL_POINTER);
}

// Tasks without a clock do not expire: they fill up a window, but not a sequence window.
static void check_sequence(const taskseal_verifier *verifier) {
    static taskseal_replay_slot room[2];
    static taskseal_sequence_source sources[1];
    taskseal_sequence_window sequence;
    taskseal_guard by_sequence;
    taskseal_verified verified;
    taskseal_verifier blind = *verifier;
    uint8_t out[640], first[640];
    int32_t first_length = 0;

    expect("no sources", taskseal_sequence_window_init(&sequence, room, 2, sources, 0, 60), TASKSEAL_INVALID_ARGUMENT);
    expect("no slots", taskseal_sequence_window_init(&sequence, room, 0, sources, 1, 60), TASKSEAL_INVALID_ARGUMENT);
    expect("sequence window", taskseal_sequence_window_init(&sequence, room, 2, sources, 1, 60), 0);
    expect("sequence guard", taskseal_sequence_guard(&by_sequence, &sequence), 0);
    policy.accept = TASKSEAL_ACCEPT_CLOCKLESS;
    blind.clock = NULL;
    for (uint8_t counter = 1; counter <= 20; counter++) {
        taskseal_task task = new_task(counter);
        task.claims.present = TASKSEAL_HAS_SEQUENCE;
        task.claims.clock = TASKSEAL_CLOCK_NONE;
        task.claims.sequence_epoch = 1;
        task.claims.sequence_counter = counter;
        const int32_t length = taskseal_seal_m(&task, &mac_key, out, sizeof out);
        if (counter == 1) {
            memcpy(first, out, sizeof out);
            first_length = length;
        }
        expect("in sequence", taskseal_open(&blind, &by_sequence, NULL, out, (size_t)length, NULL, 0, &verified), (int32_t)sizeof BODY - 1);
        expect("first run", verified.admission, TASKSEAL_FIRST_RUN);
        expect("known", taskseal_sequence_window_finish(&sequence, verified.claims.issuer, verified.claims.task_id), 1);
        expect("a copy", taskseal_open(&blind, &by_sequence, NULL, out, (size_t)length, NULL, 0, &verified), TASKSEAL_REPLAYED);
    }
    expect("an old copy", taskseal_open(&blind, &by_sequence, NULL, first, (size_t)first_length, NULL, 0, &verified), TASKSEAL_REPLAYED);
    policy.accept = 0;
}

// Checks the maximum overheads of the header.
static void check_overhead(void) {
    static const char name[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    const struct {
        uint32_t suite;
        int32_t most;
    } suites[] = {
        {TASKSEAL_SUITE_S, TASKSEAL_MAX_OVERHEAD_S},   {TASKSEAL_SUITE_M, TASKSEAL_MAX_OVERHEAD_M},   {TASKSEAL_SUITE_E, TASKSEAL_MAX_OVERHEAD_E},
        {TASKSEAL_SUITE_SE, TASKSEAL_MAX_OVERHEAD_SE}, {TASKSEAL_SUITE_SP, TASKSEAL_MAX_OVERHEAD_SP},
    };
    taskseal_task task = new_task(1);
    task.claims.issuer = (taskseal_text){name, 64};
    task.claims.task_type = task.claims.audience = (taskseal_text){name, 128};
    task.claims.reference = (taskseal_text){name, 64};
    task.claims.clock = TASKSEAL_CLOCK_BEACON;
    task.claims.expires_at = task.claims.not_before = task.claims.issued_at = ((uint64_t)1 << 40) - 1;
    task.claims.sequence_counter = UINT64_MAX;
    task.claims.sequence_epoch = task.claims.schema = task.claims.timeout = task.claims.retention = UINT32_MAX;
    task.claims.attempts = UINT16_MAX;
    // A result with a request; `ttl` is only allowed without times, which are longer.
    task.claims.present = (TASKSEAL_HAS_REQUEST << 1) - 1 - TASKSEAL_HAS_TTL;
    task.kind = TASKSEAL_RESULT;
    task.content_type = TASKSEAL_TEXT("application/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    task.body_length = TASKSEAL_MAX_BODY;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        expect("overhead", seal(suites[i].suite, &task, NULL, 0) - TASKSEAL_MAX_BODY, suites[i].most);
    }
}

// A result names its request, and is accepted for that request only.
static void check_result(const taskseal_verifier *verifier) {
    taskseal_task task = new_task(120);
    uint8_t request[640], answer[640], body[64];
    taskseal_verified verified, result;
    int32_t length = taskseal_seal_s(&task, &signer, request, sizeof request);
    expect("request", taskseal_verify(verifier, request, (size_t)length, &verified), 0);

    task.kind = TASKSEAL_RESULT;
    task.claims.present |= TASKSEAL_HAS_REQUEST;
    memcpy(task.claims.request, verified.digest, 32);
    length = taskseal_seal_se(&task, &signer, &inner_key, &rng, answer, sizeof answer);
    taskseal_record record = verifier->records[0];
    record.kind = TASKSEAL_RESULT;
    taskseal_policy for_result;
    expect("policy", taskseal_policy_for_result(&for_result, task.claims.audience, verified.digest), 0);
    const taskseal_verifier reader = {.records = &record, .record_count = 1, .policy = &for_result, .clock = verifier->clock};
    const taskseal_decryption keys = {.encryption_key = &inner_key};
    expect("result as a task", taskseal_verify(verifier, answer, (size_t)length, &result), TASKSEAL_WRONG_KIND);
    expect("result", taskseal_open(&reader, NULL, &keys, answer, (size_t)length, body, sizeof body, &result), (int32_t)sizeof BODY - 1);
    verified.digest[0] ^= 1;
    expect("of another request", taskseal_verify(&reader, answer, (size_t)length, &result), TASKSEAL_WRONG_REQUEST);
}

static void require(int32_t code) {
    if (code < 0) {
        printf("%s\n", taskseal_error_name(code));
        exit(1);
    }
}

int main(void) {
    uint8_t secret[32], kid[8], point[TASKSEAL_POINT_LEN];
    FILE *source = fopen("/dev/urandom", "rb");
    if (source == NULL) {
        return 1;
    }
    rng.context = source;
    // Keys are initialised once and used in place.
#define FRESH() (draw(source, secret, sizeof secret), draw(source, kid, sizeof kid))
    FRESH();
    require(taskseal_mac_key_init(&mac_key, kid, secret));
    FRESH();
    require(taskseal_encryption_key_init(&encryption_key, kid, secret));
    FRESH();
    require(taskseal_encryption_key_init(&inner_key, kid, secret));
    FRESH();
    require(taskseal_hedge_key_init(&hedge_key, secret));
    FRESH();
    require(taskseal_signing_key_init(&signing_key, secret));
    require(taskseal_signing_key_point(&signing_key, point));
    require(taskseal_software_signer(&signer, &signing_key));
    require(taskseal_verifying_key_init(&verifying_key, point));
    require(taskseal_verifying_key_kid(&verifying_key, kid));
    expect("kid", memcmp(kid, signer.kid, 8), 0);
    require(taskseal_signing_key_kid(&signing_key, kid));
    expect("kid of the signing key", memcmp(kid, signer.kid, 8), 0);
    FRESH();
    require(taskseal_agreement_key_init(&agreement_key, secret));
    require(taskseal_agreement_key_point(&agreement_key, point));
    require(taskseal_software_agreement(&agreement, &agreement_key));
    require(taskseal_agreement_public_key_init(&recipient, point));
    require(taskseal_agreement_key_kid(&agreement_key, kid));
    expect("kid of the agreement key", memcmp(kid, agreement.kid, 8), 0);
    taskseal_wipe(secret, sizeof secret);

    const taskseal_text issuers = TASKSEAL_TEXT_INIT("sensor-17"), types = TASKSEAL_TEXT_INIT("reading:*");
    const taskseal_text audiences = TASKSEAL_TEXT_INIT("plant-a/* plant-b/*");
#define RIGHTS .issuers = issuers, .types = types, .audiences = audiences, .valid_until = TASKSEAL_NO_END
    const taskseal_record records[] = {
        {.verifying_key = &verifying_key, RIGHTS},
        {.mac_key = &mac_key, RIGHTS},
        {.encryption_key = &encryption_key, RIGHTS},
    };
    const taskseal_clock clock = {.now = now, .context = &time_now};
    require(taskseal_policy_for_tasks(&policy, TASKSEAL_TEXT("plant-a/ingest")));
    policy.suites = TASKSEAL_SUITE_S | TASKSEAL_SUITE_M | TASKSEAL_SUITE_E | TASKSEAL_SUITE_SE | TASKSEAL_SUITE_SP;
    require(taskseal_replay_window_init(&window, slots, 16));
    require(taskseal_window_guard(&guard, &window));
    const taskseal_verifier verifier = {.records = records, .record_count = 3, .policy = &policy, .clock = &clock};

    check_suite(TASKSEAL_SUITE_S, "S", &verifier);
    check_suite(TASKSEAL_SUITE_M, "M", &verifier);
    check_suite(TASKSEAL_SUITE_E, "E", &verifier);
    check_suite(TASKSEAL_SUITE_SE, "SE", &verifier);
    check_suite(TASKSEAL_SUITE_SP, "SP", &verifier);
    check_errors(&verifier);
    check_result(&verifier);
    check_sequence(&verifier);
    check_overhead();

    taskseal_mac_key_wipe(&mac_key);
    taskseal_encryption_key_wipe(&encryption_key);
    taskseal_encryption_key_wipe(&inner_key);
    taskseal_hedge_key_wipe(&hedge_key);
    taskseal_signing_key_wipe(&signing_key);
    taskseal_agreement_key_wipe(&agreement_key);
    const taskseal_task task = new_task(1);
    uint8_t out[640];
    expect("a wiped key", taskseal_seal_m(&task, &mac_key, out, sizeof out), TASKSEAL_NO_KEY);
    expect("a wiped signer", taskseal_seal_s(&task, &signer, out, sizeof out), TASKSEAL_NO_KEY);
    expect("the kid of a wiped key", taskseal_signing_key_kid(&signing_key, kid), TASKSEAL_NO_KEY);
    fclose(source);
    printf("%d checks, %d failed\n", checks, failures);
    return failures != 0;
}
