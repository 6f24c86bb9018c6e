// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// taskseal: task queues whose carrier need not be trusted. A task is sealed where it is made and verified, checked
// and opened where it runs.
//
// Made by cbindgen from core/capi: not to be edited.
//
// The contract of every function:
// - A pointer is NULL, where that is said to be possible, or points to what its type says; a `const uint8_t *` without
//   a length beside it points to as many bytes as the text names. NULL elsewhere is TASKSEAL_NULL_POINTER.
// - What is pointed to stays unchanged for the time of the call.
// - An output does not overlap an input. Structures are aligned as the compiler aligns them (8 bytes where uint64_t is);
//   bytes and texts need no alignment.
// - 0 or a length is success; a negative number is a taskseal_code, and taskseal_error_name names it.
// - A function of the application's returns int32_t (which is `long` with arm-none-eabi-gcc: `int` does not do) and 0 if
//   it succeeded; any other number is a failure, positive ones too. Only `admit` of a guard also succeeds with 1.
// - How long things live: whatever is handed to one call only is not kept. What a structure points to (keys of a record or
//   of a decryption, key of a software signer or agreement, slots, window of a guard, texts of a policy, context of a callback) lives,
//   where it is, as long as the structure is used. The texts and the body in `taskseal_verified` stand in the envelope,
//   or in the body's buffer, and live as long as these.
// - There is no heap, no global state and no lock: different objects may be used by different threads at once, and
//   one object by several as long as none of them changes it.
//
// The application gives one function, which the library calls instead of going on with a broken invariant. No input
// is known to lead there. It must not return:
//
//     void taskseal_panic(void);


#ifndef TASKSEAL_H
#define TASKSEAL_H

#include <stddef.h>
#include <stdint.h>

// Initialises a text: taskseal_text name = TASKSEAL_TEXT_INIT("sensor-17"); also a static one.
#define TASKSEAL_TEXT_INIT(literal) { (literal), sizeof(literal) - 1 }

// A text as an expression: an argument, or to assign. C99 or C++11.
#ifdef __cplusplus
#define TASKSEAL_TEXT(literal) (taskseal_text{ (literal), sizeof(literal) - 1 })
#else
#define TASKSEAL_TEXT(literal) ((taskseal_text)TASKSEAL_TEXT_INIT(literal))
#endif

// Functions whose answer must be looked at.
#if defined(__GNUC__)
#define TASKSEAL_MUST_USE __attribute__((warn_unused_result))
#else
#define TASKSEAL_MUST_USE
#endif

// `expires_at` is set.
#define TASKSEAL_HAS_EXPIRES_AT (1 << 0)

// `not_before` is set.
#define TASKSEAL_HAS_NOT_BEFORE (1 << 1)

// `issued_at` is set.
#define TASKSEAL_HAS_ISSUED_AT (1 << 2)

// `sequence_epoch` and `sequence_counter` are set.
#define TASKSEAL_HAS_SEQUENCE (1 << 3)

// `schema` is set.
#define TASKSEAL_HAS_SCHEMA (1 << 4)

// `trace` is set.
#define TASKSEAL_HAS_TRACE (1 << 5)

// `reference` is set.
#define TASKSEAL_HAS_REFERENCE (1 << 6)

// `beacon` is set.
#define TASKSEAL_HAS_BEACON (1 << 7)

// `ttl` is set.
#define TASKSEAL_HAS_TTL (1 << 8)

// `attempts` is set.
#define TASKSEAL_HAS_ATTEMPTS (1 << 9)

// `timeout` is set.
#define TASKSEAL_HAS_TIMEOUT (1 << 10)

// `retention` is set.
#define TASKSEAL_HAS_RETENTION (1 << 11)

// `request` is set.
#define TASKSEAL_HAS_REQUEST (1 << 12)

// The issuer has a synchronised clock.
#define TASKSEAL_CLOCK_SYNCHRONISED 0

// The issuer counts its time from a signed beacon.
#define TASKSEAL_CLOCK_BEACON 1

// The issuer has no clock: no times, a sequence instead.
#define TASKSEAL_CLOCK_NONE 2

// Bytes of an uncompressed P-256 point, `04 || x || y`.
#define TASKSEAL_POINT_LEN 65

// Bytes of a key, or of a private scalar.
#define TASKSEAL_KEY_LEN 32

// Bytes of a kid.
#define TASKSEAL_KID_LEN 8

// Bytes of a task id.
#define TASKSEAL_TASK_ID_LEN 16

// Bytes of a digest: SHA-256.
#define TASKSEAL_DIGEST_LEN 32

// Bytes of a signature, `r || s`.
#define TASKSEAL_SIGNATURE_LEN 64

// Bytes of a trace context.
#define TASKSEAL_TRACE_LEN 25

// Bytes of the id of a beacon.
#define TASKSEAL_BEACON_LEN 8

// The version of the header and of the library: major.
#define TASKSEAL_VERSION_MAJOR 0

// Minor.
#define TASKSEAL_VERSION_MINOR 1

// Patch.
#define TASKSEAL_VERSION_PATCH 0

// Suite S: signed, readable by all.
#define TASKSEAL_SUITE_S (1 << 0)

// Suite M: authenticated by a shared key, readable by all.
#define TASKSEAL_SUITE_M (1 << 1)

// Suite E: authenticated and encrypted by a shared key.
#define TASKSEAL_SUITE_E (1 << 2)

// Suite SE: encrypted by a shared key, then signed.
#define TASKSEAL_SUITE_SE (1 << 3)

// Suite SP: encrypted to a public key, then signed.
#define TASKSEAL_SUITE_SP (1 << 4)

// Times counted from a signed beacon are accepted.
#define TASKSEAL_ACCEPT_BEACON (1 << 0)

// Tasks of issuers without a clock are accepted. They do not expire: only the replay guard stands between a late
// carrier and a late run.
#define TASKSEAL_ACCEPT_CLOCKLESS (1 << 1)

// Batches are accepted: one signature over many tasks.
#define TASKSEAL_ACCEPT_BATCHES (1 << 2)

// For `valid_until`: the key has no end.
#define TASKSEAL_NO_END UINT64_MAX

// Never seen before.
#define TASKSEAL_FIRST_RUN 0

// Seen before, not finished: the queue delivers it again. Not 1, which a function that failed may have returned.
#define TASKSEAL_REDELIVERY 2

// For `forget_after`: the envelope never expires.
#define TASKSEAL_NEVER UINT64_MAX

// Most bytes of a body: 16 MiB.
#define TASKSEAL_MAX_BODY 16777216

// Most bytes that an envelope of suite S has more than its body, whatever its claims.
#define TASKSEAL_MAX_OVERHEAD_S 764

// Of suite M.
#define TASKSEAL_MAX_OVERHEAD_M 732

// Of suite E.
#define TASKSEAL_MAX_OVERHEAD_E 783

// Of suite SE.
#define TASKSEAL_MAX_OVERHEAD_SE 874

// Of suite SP.
#define TASKSEAL_MAX_OVERHEAD_SP 945

// A task.
#define TASKSEAL_TASK 0

// The result of a task.
#define TASKSEAL_RESULT 1

// What every function returns beside lengths: 0 or a length is success, a negative number is one of these.
//
// A number never changes its meaning; new ones may be added.
enum taskseal_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Success.
    TASKSEAL_OK = 0,
    // A pointer is NULL that must not be.
    TASKSEAL_NULL_POINTER = -1,
    // A key object that was never initialised, was wiped, or is of another type.
    TASKSEAL_NO_KEY = -2,
    // Bytes that are no key: a scalar out of range, a point off the curve.
    TASKSEAL_INVALID_KEY = -3,
    // A text that is no valid name: empty, too long, or with a character outside 0x21 to 0x7e.
    TASKSEAL_INVALID_NAME = -4,
    // What stands for nothing: an unknown kind, suite or clock, two keys in one record, an output over an input.
    TASKSEAL_INVALID_ARGUMENT = -5,
    // The buffer is too small. Nothing is wrong with the task.
    TASKSEAL_BUFFER_TOO_SMALL = -6,
    // This build of the library leaves the suite out.
    TASKSEAL_NOT_BUILT = -7,
    // An error that this version of the library has no code for.
    TASKSEAL_OTHER = -8,
    // The body is longer than TASKSEAL_MAX_BODY.
    TASKSEAL_BODY_TOO_LONG = -20,
    // The claims contradict each other or do not fit the kind.
    TASKSEAL_INCONSISTENT_CLAIMS = -21,
    // The source of randomness failed; nothing was sealed.
    TASKSEAL_NO_RANDOMNESS = -22,
    // The signer failed; nothing was sealed.
    TASKSEAL_SIGNER_FAILED = -23,
    // The signer answered with something that is no ES256 signature.
    TASKSEAL_INVALID_SIGNATURE = -24,
    // The batch takes no more tasks.
    TASKSEAL_BATCH_FULL = -25,
    // The batch has no task to sign.
    TASKSEAL_BATCH_EMPTY = -26,
    // The key store that holds the decryption key did not answer. Trying again may help.
    TASKSEAL_KEY_UNAVAILABLE = -40,
    // The replay guard is full or out of reach. Nothing may be run without one.
    TASKSEAL_GUARD_UNAVAILABLE = -41,
    // The verifier has no clock, or its clock failed, and the task has times. Nothing is wrong with the task.
    TASKSEAL_TIME_UNKNOWN = -42,
    // Refused: no envelope at all.
    TASKSEAL_UNSEALED = -100,
    // Refused: longer than the policy or the format allows.
    TASKSEAL_TOO_LARGE = -101,
    // Refused: not the one encoding of anything the format allows.
    TASKSEAL_MALFORMED = -102,
    // Refused: a result where a task was due, or the other way round.
    TASKSEAL_WRONG_KIND = -103,
    // Refused: a suite, or a batch, that the policy does not accept.
    TASKSEAL_SUITE_NOT_ALLOWED = -104,
    // Refused: the kid names no record.
    TASKSEAL_UNKNOWN_KEY = -105,
    // Refused: not authentic. One code for everything cryptographic, on purpose.
    TASKSEAL_REJECTED = -106,
    // Refused: the key is revoked, disabled or outside its period.
    TASKSEAL_KEY_NOT_VALID = -107,
    // Refused: the key may not speak for this issuer.
    TASKSEAL_ISSUER_NOT_ALLOWED = -108,
    // Refused: the key may not seal this task type.
    TASKSEAL_TYPE_NOT_ALLOWED = -109,
    // Refused: the key may not seal for this audience.
    TASKSEAL_AUDIENCE_NOT_ALLOWED = -110,
    // Refused: sealed for another deployment or queue.
    TASKSEAL_WRONG_AUDIENCE = -111,
    // Refused: nobody here runs this task type.
    TASKSEAL_TYPE_NOT_HANDLED = -112,
    // Refused: sealed without a clock or by a beacon, and the policy wants another.
    TASKSEAL_CLOCK_NOT_ALLOWED = -113,
    // Refused: sealed in the future.
    TASKSEAL_ISSUED_IN_FUTURE = -114,
    // Refused: valid for longer than the policy allows.
    TASKSEAL_LIFETIME_TOO_LONG = -115,
    // Refused: past its expiry.
    TASKSEAL_EXPIRED = -116,
    // Refused: before its time. Deliver it again later.
    TASKSEAL_NOT_YET_VALID = -117,
    // Refused by a queue: its metadata differ from what is sealed.
    TASKSEAL_METADATA_MISMATCH = -118,
    // Refused: the result of another request.
    TASKSEAL_WRONG_REQUEST = -119,
    // Refused: the task has run to its end before.
    TASKSEAL_REPLAYED = -120,
    // Refused: too far behind the issuer's newest.
    TASKSEAL_OUT_OF_SEQUENCE = -121,
    // Refused: another envelope with this issuer and task id was seen.
    TASKSEAL_CONFLICT = -122,
    // Refused: the attempts that the issuer allows are used up.
    TASKSEAL_ATTEMPTS_EXHAUSTED = -123,
    // Refused by a queue: workers that ran it were lost too often.
    TASKSEAL_POISONOUS = -124,
    // Refused: encrypted to a key that is not here. Found out after the guard was asked.
    TASKSEAL_NO_DECRYPTION_KEY = -125,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum taskseal_code taskseal_code;
#else
typedef int32_t taskseal_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A key agreement key in memory. Making it costs as much as a signature: make it once.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[16];
} taskseal_agreement_key;

// Agrees by ECDH on P-256 for suite SP: a key in memory (`taskseal_software_agreement`) or a secure element.
typedef struct {
    // Writes the x-coordinate of the point shared with `point` (32 bytes, big-endian) and returns 0;
    // `TASKSEAL_NO_KEY`: there is no key, which `taskseal_open` passes on; any other number: `TASKSEAL_KEY_UNAVAILABLE`. The point has been checked to be on the curve.
    int32_t (*agree)(void *context, const uint8_t *point, uint8_t *shared);
    // Handed to `agree`.
    void *context;
    // The kid of the key.
    uint8_t kid[8];
} taskseal_agreement;

// An HMAC key of suite M.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[5];
} taskseal_mac_key;

// A shared encryption key of suites E and SE.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[5];
} taskseal_encryption_key;

// A public key that verifies suites S, SE and SP.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[12];
} taskseal_verifying_key;

// A public key to encrypt to in suite SP.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[12];
} taskseal_agreement_public_key;

// Bytes of a name; need not end in NUL. Not copied: what it points to stays for as long as it is used.
//
// `TASKSEAL_TEXT("sensor-17")` is one, as an argument or to assign; `TASKSEAL_TEXT_INIT("sensor-17")` initialises one,
// also where only constants may; `taskseal_text_of(name)` takes a string that ends in NUL.
typedef struct {
    // The first character. NULL only if there is none.
    const char *start;
    // Characters, without a NUL.
    size_t length;
} taskseal_text;

// A key that verifies envelopes, and what it may vouch for. Exactly one of the three keys is set.
//
// A set of names is patterns separated by spaces; a pattern that ends in `*` stands for every name that begins with
// what is before it. The empty text is the empty set.
//
// A zeroed record vouches for nothing: without a key the check refuses it, its sets are empty, and `valid_until` of 0 is
// long past. Set all three sets, and `valid_until` to an end or to `TASKSEAL_NO_END`.
typedef struct {
    // Verifies suites S, SE and SP.
    const taskseal_verifying_key *verifying_key;
    // Verifies suite M.
    const taskseal_mac_key *mac_key;
    // Verifies suite E.
    const taskseal_encryption_key *encryption_key;
    // Issuers it may speak for.
    taskseal_text issuers;
    // Task types it may seal.
    taskseal_text types;
    // Audiences it may seal for.
    taskseal_text audiences;
    // Unix time in seconds from which on it is accepted.
    uint64_t valid_from;
    // Unix time in seconds from which on it is refused; `TASKSEAL_NO_END`.
    uint64_t valid_until;
    // What it seals: `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    uint32_t kind;
    // Not 0: revoked; nothing it sealed is accepted.
    uint32_t disabled;
} taskseal_record;

// What a verifier accepts from one queue. Start from `taskseal_policy_for_tasks` or `taskseal_policy_for_result`.
typedef struct {
    // The deployment and queue that the envelope was really taken from.
    taskseal_text audience;
    // Task types that somebody here handles: patterns separated by spaces, `*` at the end of one stands for the
    // rest of a name.
    taskseal_text types;
    // Suites accepted: `TASKSEAL_SUITE_...`; no other bit.
    uint32_t suites;
    // What else is accepted: `TASKSEAL_ACCEPT_...`; no other bit.
    uint32_t accept;
    // Most bytes of a body.
    size_t max_body;
    // Most seconds between the time from which an envelope may be run and its expiry.
    uint64_t max_lifetime;
    // Seconds by which clocks may differ; at most 300 count.
    uint32_t skew;
    // The kind that is due: `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    uint32_t kind;
    // For results: SHA-256 of the request envelope, 32 bytes; else NULL.
    const uint8_t *request;
} taskseal_policy;

// What a clock knows: the time is not before `earliest` and not after `latest`.
typedef struct {
    // Unix time in seconds: the earliest it can be.
    uint64_t earliest;
    // Unix time in seconds: the latest it can be; `UINT64_MAX` if that is not known.
    uint64_t latest;
} taskseal_time;

// The time, asked for once a task.
typedef struct {
    // Sets both ends and returns 0; anything else: the time is not known, and every task with times gets
    // `TASKSEAL_TIME_UNKNOWN`.
    int32_t (*now)(void *context, taskseal_time *now);
    // Handed to `now`.
    void *context;
} taskseal_clock;

// What envelopes are verified with.
typedef struct {
    // The keys that may seal; `taskseal_records_check` checks them once.
    const taskseal_record *records;
    // How many.
    size_t record_count;
    // What is accepted.
    const taskseal_policy *policy;
    // The time. NULL: not known, and every task with times gets `TASKSEAL_TIME_UNKNOWN`. For a worker without a clock
    // that accepts clockless tasks only.
    const taskseal_clock *clock;
} taskseal_verifier;

// What a seal says about a task. Claims are signed, not encrypted: whoever carries the task reads them.
//
// A FIELD WITHOUT ITS BIT IN `present` IS LEFT OUT, WHATEVER IT HOLDS, and nothing says so: set the bit with the field. Only
// the first four fields and `clock` always count.
//
// | `clock` | required | may be | forbidden |
// | --- | --- | --- | --- |
// | `..._SYNCHRONISED` | `issued_at`, `expires_at` | `not_before`, sequence | `ttl`, `beacon` |
// | `..._BEACON` | `issued_at`, `expires_at`, `beacon` | `not_before`, sequence | `ttl` |
// | `..._NONE` | sequence | `ttl` | `issued_at`, `expires_at`, `not_before`, `beacon` |
//
// `request` is required in results and forbidden in tasks; the other fields go with every clock. Times are Unix time in
// seconds, below 2^40 (milliseconds are not). All else is `TASKSEAL_INCONSISTENT_CLAIMS`.
typedef struct {
    // Who made the task: 1 to 64 characters from 0x21 to 0x7e.
    taskseal_text issuer;
    // What kind of task it is, for example `email:deliver`: 1 to 128 characters.
    taskseal_text task_type;
    // Where it may run, `deployment/queue`: 1 to 128 characters.
    taskseal_text audience;
    // Which task it is. Must be used for one task only.
    uint8_t task_id[16];
    // Which of the fields below are set: `TASKSEAL_HAS_...`.
    uint32_t present;
    // What clock the issuer has: `TASKSEAL_CLOCK_...`.
    uint32_t clock;
    // Unix time in seconds from which on it is refused. Required unless there is no clock.
    uint64_t expires_at;
    // Unix time in seconds before which it is not run.
    uint64_t not_before;
    // Unix time in seconds at which it was sealed. Required unless there is no clock.
    uint64_t issued_at;
    // Counts the tasks of the issuer within an epoch. Required without a clock.
    uint64_t sequence_counter;
    // Raised and stored at each boot.
    uint32_t sequence_epoch;
    // Schema version of the body.
    uint32_t schema;
    // Seconds from first sight after which it is refused; without a clock only.
    uint32_t ttl;
    // Time limit of one attempt in seconds.
    uint32_t timeout;
    // Seconds for which the finished task is kept.
    uint32_t retention;
    // Most attempts the issuer allows.
    uint16_t attempts;
    // W3C trace context: trace id (16 bytes), parent id (8), flags (1).
    uint8_t trace[25];
    // Id of the beacon that the times were counted from; with a beacon clock only.
    uint8_t beacon[8];
    // The framework's own id of the task: 1 to 64 characters.
    taskseal_text reference;
    // SHA-256 of the request envelope; in results, and only there.
    uint8_t request[32];
} taskseal_claims;

// What was verified. Texts, and a body that is not encrypted, stand in the envelope.
typedef struct {
    // What the issuer says about the task.
    taskseal_claims claims;
    // Media type of the body.
    taskseal_text content_type;
    // The body, if it is not encrypted or was decrypted; else NULL.
    const uint8_t *body;
    // Bytes of the body, readable or not.
    size_t body_length;
    // The suite: one of `TASKSEAL_SUITE_...`.
    uint32_t suite;
    // `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    uint32_t kind;
    // Whether it is part of a batch: 0 or 1.
    uint32_t is_batched;
    // What the guard has decided: `TASKSEAL_FIRST_RUN` or `TASKSEAL_REDELIVERY`.
    int32_t admission;
    // SHA-256 of the whole envelope, which a result names as its request.
    uint8_t digest[32];
    // The kid of the key that sealed it.
    uint8_t kid[8];
} taskseal_verified;

// What a guard is told about a verified envelope.
typedef struct {
    // Who made it; with the task id the key of a guard's memory.
    taskseal_text issuer;
    // Which task it is.
    uint8_t task_id[16];
    // The key that sealed it.
    uint8_t kid[8];
    // SHA-256 of the whole envelope.
    uint8_t digest[32];
    // Unix time in seconds after which it is refused as expired anyway and may be forgotten; `TASKSEAL_NEVER`.
    uint64_t forget_after;
    // Unix time in seconds at which it was verified, by the earliest reading of the clock.
    uint64_t seen_at;
    // Which of the fields below are set: `TASKSEAL_HAS_SEQUENCE`, `TASKSEAL_HAS_ATTEMPTS`, `TASKSEAL_HAS_TTL`.
    uint32_t present;
    // Boot epoch of the issuer.
    uint32_t sequence_epoch;
    // Counter of the issuer within the epoch.
    uint64_t sequence_counter;
    // Seconds from first sight after which it is not run any more.
    uint32_t ttl;
    // Most attempts the issuer allows.
    uint16_t attempts;
} taskseal_admission_request;

// Remembers what has run. Its memory must be out of the reach of whoever carries tasks and outlive a restart for as
// long as tasks live, or a task runs once more after it.
typedef struct {
    // Decides on a verified envelope and remembers it before it runs: `TASKSEAL_FIRST_RUN`, `TASKSEAL_REDELIVERY`,
    // or a refusal such as `TASKSEAL_REPLAYED`; any other number is `TASKSEAL_GUARD_UNAVAILABLE`.
    int32_t (*admit)(void *context, const taskseal_admission_request *request);
    // Handed to `admit`.
    void *context;
} taskseal_guard;

// What bodies are decrypted with: the keys that there are; else NULL.
typedef struct {
    // Suites E and SE.
    const taskseal_encryption_key *encryption_key;
    // Suite SP.
    const taskseal_agreement *agreement;
} taskseal_decryption;

// Room to remember one task: 88 bytes, aligned to 8.
typedef struct {
    // Private.
    uint64_t words[11];
} taskseal_replay_slot;

// A replay guard in the caller's memory: remembers as many tasks as it has slots, and admits no other
// (`TASKSEAL_GUARD_UNAVAILABLE`) while all of them could still be accepted. The memory is lost on a restart.
//
// A slot is free once its task has expired by the verifier's clock, skew included; `_finish` frees none. Slots needed:
// tasks a second, times the longest `max_lifetime` + `skew` that the policy accepts. The slot of a clockless task is never
// freed, since it never expires: for such tasks take a `taskseal_sequence_window`.
typedef struct {
    // Private.
    taskseal_replay_slot *slots;
    // Private.
    size_t count;
    // Private.
    size_t used;
    // Private.
    uint64_t floor;
} taskseal_replay_window;

// Room to remember the numbers of one issuer and key: 40 bytes, aligned to 8.
typedef struct {
    // Private.
    uint64_t words[5];
} taskseal_sequence_source;

// A replay guard for issuers without a clock: a `taskseal_replay_window` that also remembers of every issuer and key the
// newest number and which of the 64 up to it were seen. It never runs full of finished tasks: a copy of one that is
// forgotten is `TASKSEAL_REPLAYED` by its number, and what is more than 63 behind the newest, or of an earlier epoch, is
// `TASKSEAL_OUT_OF_SEQUENCE`. The memory is lost on a restart.
//
// The slot of a clockless task is freed when another needs it: after `keep` seconds by the verifier's clock, or once the
// task has finished. A verifier without a clock frees by `_finish` only: finish what is given up too. Slots needed: the
// clockless tasks that are not finished at one time, one at least, and those of tasks with times as in
// `taskseal_replay_window`. A source is never freed: as many as there are issuers and keys.
typedef struct {
    // Private.
    taskseal_replay_window window;
    // Private.
    taskseal_sequence_source *sources;
    // Private.
    size_t count;
    // Private.
    size_t known;
    // Private.
    uint32_t keep;
} taskseal_sequence_window;

// What is to be sealed.
typedef struct {
    // What is said about it.
    taskseal_claims claims;
    // Media type of the body, for example `application/cbor`.
    taskseal_text content_type;
    // The body.
    const uint8_t *body;
    // Bytes of the body.
    size_t body_length;
    // `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    uint32_t kind;
} taskseal_task;

// A cryptographically secure source of random bytes.
typedef struct {
    // Fills `length` bytes and returns 0; anything else: no bytes, and nothing is sealed. Nor is it where 12 bytes or
    // more are all zero, which a function leaves that fills nothing.
    int32_t (*fill)(void *context, uint8_t *bytes, size_t length);
    // Handed to `fill`.
    void *context;
} taskseal_rng;

// Signs for suites S, SE and SP: a key in memory (`taskseal_software_signer`), a secure element, a token.
typedef struct {
    // Signs a SHA-256 digest of 32 bytes with ES256, writes `r || s` (64 bytes, big-endian) and returns 0;
    // `TASKSEAL_NO_KEY`: there is no key; any other number: `TASKSEAL_SIGNER_FAILED`. Then nothing is sealed. A high `s` is normalised. The key must never sign anything else.
    int32_t (*sign_digest)(void *context, const uint8_t *digest, uint8_t *signature);
    // Handed to `sign_digest`.
    void *context;
    // The kid of the key; `taskseal_verifying_key_kid` computes it from the public point.
    uint8_t kid[8];
} taskseal_signer;

// The key of hedged randomness: 32 bytes that no other device has, used for nothing else.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[4];
} taskseal_hedge_key;

// A signing key in memory. Making it costs as much as a signature: make it once.
//
// To be filled by its `init` function where it stays; never to be copied. A zeroed one holds no key.
typedef struct {
    // Private.
    uint64_t tag;
    // Private.
    uint64_t words[16];
} taskseal_signing_key;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a key agreement key of a private scalar, 32 bytes big-endian; never that of a signing key. A new one is made as
// for `taskseal_signing_key_init`.
int32_t taskseal_agreement_key_init(taskseal_agreement_key *key,
                                    const uint8_t *scalar);

// Wipes the key; the object holds none afterwards.
void taskseal_agreement_key_wipe(taskseal_agreement_key *key);

// Writes the public point, `TASKSEAL_POINT_LEN` bytes: what others encrypt to.
int32_t taskseal_agreement_key_point(const taskseal_agreement_key *key, uint8_t *point);

// Writes the kid: the first 8 bytes of the public key's thumbprint (RFC 9679).
int32_t taskseal_agreement_key_kid(const taskseal_agreement_key *key, uint8_t *kid);

// Fills `agreement` with a key in memory, which must stay where it is for as long as the agreement is used.
int32_t taskseal_software_agreement(taskseal_agreement *agreement,
                                    const taskseal_agreement_key *key);

// The name of a code, for logs: lower-case words joined by hyphens, those of refusals as in the specification.
// That of a length is `ok`. Never NULL.
const char *taskseal_error_name(int32_t code);

// Makes an HMAC key of 32 random bytes and the 8 bytes it goes by, which must not be computed from it.
int32_t taskseal_mac_key_init(taskseal_mac_key *key,
                              const uint8_t *kid,
                              const uint8_t *bytes);

// Wipes the key; the object holds none afterwards.
void taskseal_mac_key_wipe(taskseal_mac_key *key);

// Makes an encryption key of 32 random bytes and the 8 bytes it goes by, which must not be computed from it.
int32_t taskseal_encryption_key_init(taskseal_encryption_key *key,
                                     const uint8_t *kid,
                                     const uint8_t *bytes);

// Wipes the key; the object holds none afterwards.
void taskseal_encryption_key_wipe(taskseal_encryption_key *key);

// Makes a verifying key of a point of `TASKSEAL_POINT_LEN` bytes. The point is checked.
int32_t taskseal_verifying_key_init(taskseal_verifying_key *key, const uint8_t *point);

// Writes the kid: the first 8 bytes of the key's thumbprint (RFC 9679).
int32_t taskseal_verifying_key_kid(const taskseal_verifying_key *key, uint8_t *kid);

// Makes a public key to encrypt to of a point of `TASKSEAL_POINT_LEN` bytes. The point is checked.
int32_t taskseal_agreement_public_key_init(taskseal_agreement_public_key *key,
                                           const uint8_t *point);

// Writes the kid: the first 8 bytes of the key's thumbprint (RFC 9679).
int32_t taskseal_agreement_public_key_kid(const taskseal_agreement_public_key *key, uint8_t *kid);

// Overwrites memory with zeros in a way that no compiler leaves out: for a body that has been used. Clears the vector
// registers too.
void taskseal_wipe(uint8_t *start,
                   size_t length);

// Verifies an envelope and checks its claims against the rights of the key, the policy and the time. Nothing is
// decrypted, and no guard is asked: the task must not be run on the strength of this alone. Returns 0;
// `verified->body_length` tells how long the body is, encrypted or not.
//
// After an error `*verified` is all zeros, here and in `taskseal_open`.
TASKSEAL_MUST_USE
int32_t taskseal_verify(const taskseal_verifier *verifier,
                        const uint8_t *envelope,
                        size_t envelope_length,
                        taskseal_verified *verified);

// Verifies a task, asks the guard whether it may run, and decrypts its body into `body`. Returns the length of the
// body; `verified->body` tells where it is: in `body`, or in the envelope if it was not encrypted. A decrypted body
// is to be wiped after its use with `taskseal_wipe`.
//
// The order is: verify; `TASKSEAL_BUFFER_TOO_SMALL` if the body is encrypted and longer than `body_size`; ask the guard,
// which counts an attempt; decrypt. So a short buffer costs no attempt, but `TASKSEAL_NO_DECRYPTION_KEY`,
// `TASKSEAL_KEY_UNAVAILABLE` and a `TASKSEAL_REJECTED` of the inner seal come after the guard and do. The length is
// told by `taskseal_verify`; the envelope is always long enough for its body. `body` may be NULL with a `body_size` of 0 if the
// suites accepted do not encrypt. `body` and the envelope must not overlap (`TASKSEAL_INVALID_ARGUMENT`).
//
// Results are bound to their request and may be read any number of times: for a policy for results `guard` is not
// asked and may be NULL.
TASKSEAL_MUST_USE
int32_t taskseal_open(const taskseal_verifier *verifier,
                      const taskseal_guard *guard,
                      const taskseal_decryption *keys,
                      const uint8_t *envelope,
                      size_t envelope_length,
                      uint8_t *body,
                      size_t body_size,
                      taskseal_verified *verified);

// Given by the application; must not return. On a device: reset, or stop and blink.
extern void taskseal_panic(void);

// Accepts tasks for `audience` of every type, signed and encrypted (SE, SP), with bodies up to 1 MiB, valid for at
// most 24 hours, by synchronised clocks that differ by 60 seconds at most. The text is not copied.
int32_t taskseal_policy_for_tasks(taskseal_policy *policy,
                                  taskseal_text audience);

// Accepts the result of the request whose envelope has this SHA-256 (32 bytes, not copied), with the limits of
// `taskseal_policy_for_tasks` but a lifetime of up to a year: results are read late.
int32_t taskseal_policy_for_result(taskseal_policy *policy,
                                   taskseal_text audience,
                                   const uint8_t *request);

// Checks records once they are written: every one has one key and valid texts, and no two have one kid.
TASKSEAL_MUST_USE
int32_t taskseal_records_check(const taskseal_record *records,
                               size_t count);

// Makes an empty window of `count` slots, which must stay where they are for as long as the window is used. Whatever it
// remembered is forgotten, and could run again. No slots at all are `TASKSEAL_INVALID_ARGUMENT`.
int32_t taskseal_replay_window_init(taskseal_replay_window *window,
                                    taskseal_replay_slot *slots,
                                    size_t count);

// Marks a task as run to its end: whatever comes with its id from now on is a replay. Returns 1 if the task was
// known, 0 if not.
int32_t taskseal_replay_window_finish(taskseal_replay_window *window,
                                      taskseal_text issuer,
                                      const uint8_t *task_id);

// Fills `guard` with a window, which must stay where it is for as long as the guard is used.
int32_t taskseal_window_guard(taskseal_guard *guard, taskseal_replay_window *window);

// Makes an empty window of slots for tasks and sources for issuers, which must stay where they are for as long as the
// window is used. `keep`: seconds within which the queue delivers a clockless task again. Whatever it remembered is
// forgotten. No slots or no sources at all are `TASKSEAL_INVALID_ARGUMENT`.
int32_t taskseal_sequence_window_init(taskseal_sequence_window *window,
                                      taskseal_replay_slot *slots,
                                      size_t slot_count,
                                      taskseal_sequence_source *sources,
                                      size_t source_count,
                                      uint32_t keep);

// As `taskseal_replay_window_finish`.
int32_t taskseal_sequence_window_finish(taskseal_sequence_window *window,
                                        taskseal_text issuer,
                                        const uint8_t *task_id);

// Fills `guard` with a window, which must stay where it is for as long as the guard is used.
int32_t taskseal_sequence_guard(taskseal_guard *guard, taskseal_sequence_window *window);

// Suite M: authenticates by a shared key; the body is readable by all. Returns the length of the envelope in `out`;
// with `out` NULL, the length it would have. `out` and the body must not overlap (`TASKSEAL_INVALID_ARGUMENT`).
TASKSEAL_MUST_USE
int32_t taskseal_seal_m(const taskseal_task *task,
                        const taskseal_mac_key *key,
                        uint8_t *out,
                        size_t out_size);

// Suite E: authenticates and encrypts by a shared key. Returns as `taskseal_seal_m`.
TASKSEAL_MUST_USE
int32_t taskseal_seal_e(const taskseal_task *task,
                        const taskseal_encryption_key *key,
                        const taskseal_rng *rng,
                        uint8_t *out,
                        size_t out_size);

// Suite S: signs; the body is readable by all. Returns as `taskseal_seal_m`.
TASKSEAL_MUST_USE
int32_t taskseal_seal_s(const taskseal_task *task,
                        const taskseal_signer *signer,
                        uint8_t *out,
                        size_t out_size);

// Suite SE: encrypts by a shared key, then signs. Returns as `taskseal_seal_m`.
TASKSEAL_MUST_USE
int32_t taskseal_seal_se(const taskseal_task *task,
                         const taskseal_signer *signer,
                         const taskseal_encryption_key *key,
                         const taskseal_rng *rng,
                         uint8_t *out,
                         size_t out_size);

// Suite SP: encrypts to the recipient's public key, then signs. Returns as `taskseal_seal_m`.
TASKSEAL_MUST_USE
int32_t taskseal_seal_sp(const taskseal_task *task,
                         const taskseal_signer *signer,
                         const taskseal_agreement_public_key *recipient,
                         const taskseal_rng *rng,
                         uint8_t *out,
                         size_t out_size);

// Makes a hedge key of 32 bytes.
int32_t taskseal_hedge_key_init(taskseal_hedge_key *key, const uint8_t *bytes);

// Wipes the key; the object holds none afterwards.
void taskseal_hedge_key_wipe(taskseal_hedge_key *key);

// `taskseal_seal_e` with hedged randomness: whatever is drawn depends on the hedge key, on the keys, on all claims and
// on the body too, so that a poor source is enough. With `rng` NULL there is no source at all: then no two tasks may
// have the same claims and body, across restarts.
TASKSEAL_MUST_USE
int32_t taskseal_seal_e_hedged(const taskseal_task *task,
                               const taskseal_encryption_key *key,
                               const taskseal_hedge_key *hedge,
                               const taskseal_rng *rng,
                               uint8_t *out,
                               size_t out_size);

// `taskseal_seal_se` with hedged randomness, as `taskseal_seal_e_hedged`.
TASKSEAL_MUST_USE
int32_t taskseal_seal_se_hedged(const taskseal_task *task,
                                const taskseal_signer *signer,
                                const taskseal_encryption_key *key,
                                const taskseal_hedge_key *hedge,
                                const taskseal_rng *rng,
                                uint8_t *out,
                                size_t out_size);

// `taskseal_seal_sp` with hedged randomness, as `taskseal_seal_e_hedged`.
TASKSEAL_MUST_USE
int32_t taskseal_seal_sp_hedged(const taskseal_task *task,
                                const taskseal_signer *signer,
                                const taskseal_agreement_public_key *recipient,
                                const taskseal_hedge_key *hedge,
                                const taskseal_rng *rng,
                                uint8_t *out,
                                size_t out_size);

// Makes a signing key of a private scalar, 32 bytes big-endian. A new key is 32 bytes of a cryptographically secure
// source, kept where nobody else reads them: if they are no scalar (one in 2^32 is not), the answer is
// `TASKSEAL_INVALID_KEY`, and others are drawn.
int32_t taskseal_signing_key_init(taskseal_signing_key *key,
                                  const uint8_t *scalar);

// Wipes the key; the object holds none afterwards.
void taskseal_signing_key_wipe(taskseal_signing_key *key);

// Writes the public point, `TASKSEAL_POINT_LEN` bytes.
int32_t taskseal_signing_key_point(const taskseal_signing_key *key, uint8_t *point);

// Writes the kid: the first 8 bytes of the public key's thumbprint (RFC 9679).
int32_t taskseal_signing_key_kid(const taskseal_signing_key *key, uint8_t *kid);

// Fills `signer` with a key in memory, which must stay where it is for as long as the signer is used. Signs
// deterministically (RFC 6979): no randomness is needed.
int32_t taskseal_software_signer(taskseal_signer *signer,
                                 const taskseal_signing_key *key);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TASKSEAL_H */

#ifndef TASKSEAL_TEXT_OF
#define TASKSEAL_TEXT_OF
// The text of a string that ends in NUL; of NULL the empty one.
static inline taskseal_text taskseal_text_of(const char *string) {
    taskseal_text text;
    text.start = string;
    text.length = 0;
    while (string != NULL && string[text.length] != '\0') text.length++;
    return text;
}
#endif
