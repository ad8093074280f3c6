// The front of runv: the verbs that a running container is started, joined and ended by, without Node. Every decision was made by `create`, which
// wrote it into the container's record; what is not of the usual kind is handed over to Node. front.c's head says the whole.
#ifndef POUCH_FRONT_H
#define POUCH_FRONT_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "json.h"
#include "monitor-config.h"

#define HAND_OVER (-1) // of a verb: Node does it, or tells what is wrong with it

struct front {
	const char *node, *bundle;    // the program, and runv's own script
	char **arguments;             // as we were given them, for Node
	const char *root, *log;       // root is absolute
	bool log_json;
	const char *id;
	char directory[PATH_MAX];     // ROOT/ID
};

// A word of a verb's command line: --name VALUE, --name=VALUE, and for flags --name, --name=false.
struct option {
	const char *name, *alias;
	bool flag;
	const char **value; // of a flag: its name, once it is given. NULL: taken, and of no effect
};

// ROOT/ID/state.json, as packages/runv/src/state.ts describes it.
struct record {
	struct json json;
	int fd;
	uint64_t pid; // 0: it is being created
	const char *pid_start, *sockets, *arg0;
	size_t cgroups;
	bool paused, poststart, poststop;
};

// front.c
int front_tell(const struct front *front, const char *format, ...) __attribute__((format(printf, 2, 3))); // returns 1, the exit status
// Options, in any place, and the container's id into `front`. False: something that is not known here, or not just one id.
bool front_options(struct front *front, char **words, const struct option *options);
// Goes on as Node, which runs the hooks of the record (now its standard input). Returns only when that cannot be done.
int front_late_hooks(const struct front *front, const struct record *record, const char *kind);

// front-record.c
int record_read(const struct front *front, struct record *record); // 0, or -1 with errno; EBADMSG: it is not what we write
bool record_lives(const struct record *record);                     // its monitor
// What the monitor has written last ("created", "running", …), "stopped" when it is gone.
void record_status(const struct front *front, const struct record *record, char into[16]);
int record_connect(const struct record *record); // to its monitor: a descriptor, or -1
bool record_path(char into[PATH_MAX], const char *directory, const char *name);

// front-process.c: process.json as the payload of SPAWN; its own words in `process`. NULL: not of the usual kind.
struct process_words {
	const char *program;
	bool terminal;
};
uint8_t *process_payload(const char *file, size_t *length, struct process_words *process);

// front-network.c: what a network namespace holds, written to a descriptor. 0, or 1 and `error TEXT` there. This process stays in that namespace.
int network_print(const char *netns, int fd);

// The verbs. They return the exit status, or HAND_OVER before they have done anything.
int front_start(struct front *front, char **words);
int front_delete(struct front *front, char **words);
int front_exec(struct front *front, char **words);
int front_network(struct front *front, char **words); // network PATH: of that namespace, on standard output
int front_create(struct front *front, char **words);  // always HAND_OVER; the network is read while Node starts
#endif
