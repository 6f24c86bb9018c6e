// Runs the programs of README.md, which are concatenated in readme.h.
#include <stdlib.h>
#include <string.h>

#include "readme.h"

void taskseal_panic(void) {
    abort();
}

static int runs;
static int32_t outcome;

static void require(const char *what, int holds) {
    if (!holds) {
        printf("README.md: %s: %s\n", what, taskseal_error_name(outcome));
        exit(1);
    }
}

static const uint8_t BODY[] = {0xa1, 0x61, 'c', 0x15};

static int run(const taskseal_verified *task) {
    require("body", task->body_length == sizeof BODY && memcmp(task->body, BODY, sizeof BODY) == 0);
    return runs++ == 0; // The first attempt fails.
}

int main(void) {
    uint8_t secrets[3][TASKSEAL_KEY_LEN], kid[TASKSEAL_KID_LEN], id[TASKSEAL_TASK_ID_LEN], point[TASKSEAL_POINT_LEN];
    FILE *source = fopen("/dev/urandom", "rb");
    taskseal_rng rng;
    taskseal_task task;
    if (source == NULL || fill(source, secrets[0], sizeof secrets) != 0 || fill(source, kid, sizeof kid) != 0 || fill(source, id, sizeof id) != 0) {
        return 1;
    }
    rng.fill = fill;
    rng.context = source;

    require("start", (outcome = start(secrets[0], kid, secrets[1])) == 0);
    require("point", (outcome = taskseal_signing_key_point(&signing_key, point)) == 0);
    require("start of the worker", (outcome = start_worker(point, kid, secrets[1])) == 0);
    task = reading(id, (uint64_t)time(NULL), BODY, sizeof BODY);
    require("seal", (outcome = seal_reading(&task, &rng)) > 0);
    require("a failed attempt", work(envelope, (size_t)outcome, run) == DELIVER_AGAIN);
    require("a second attempt", work(envelope, (size_t)outcome, run) == DONE && runs == 2);
    require("a replay", work(envelope, (size_t)outcome, run) == DONE && runs == 2);
    envelope[60] ^= 1;
    require("a changed byte", work(envelope, (size_t)outcome, run) == QUARANTINE);

    require("start of the recipient", (outcome = start_recipient(secrets[2], point)) == 0);
    task.claims.task_id[0] ^= 1;
    require("seal to", (outcome = seal_to(point, &task, &rng)) > 0);
    require("open SP", work(envelope, (size_t)outcome, run) == DONE && runs == 3);
    decryption.agreement = NULL;
    task.claims.task_id[0] ^= 2;
    require("seal to another", (outcome = seal_to(point, &task, &rng)) > 0);
    require("without the key", work(envelope, (size_t)outcome, run) == REPAIR_THE_WORKER && runs == 3);

    taskseal_agreement_key_wipe(&agreement_key);
    decryption.agreement = &agreement;
    task.claims.task_id[0] ^= 4;
    require("seal once more", (outcome = seal_to(point, &task, &rng)) > 0);
    {
        uint8_t body[16];
        taskseal_verified verified;
        outcome = taskseal_open(&verifier, &guard, &decryption, envelope, (size_t)outcome, body, sizeof body, &verified);
        require("a wiped agreement key", outcome == TASKSEAL_NO_KEY);
    }
    taskseal_wipe(secrets[0], sizeof secrets);
    fclose(source);
    puts("README.md does what it says");
    return 0;
}
