// The machine role's state and the parts that work on it: one struct, one thread. monitor.c's head says what the whole does.
#ifndef POUCH_MONITOR_H
#define POUCH_MONITOR_H
#include "monitor-config.h"
#include "monitor-link.h"
#include "monitor-status.h"
#include "monitor-stdio.h"

// Operations between a client and the monitor only.
enum monitor_op {
	OP_START = 128,    // no payload; answered by OP_START when the container's process runs, or by VM_ERROR
	OP_STATE = 129,    // no payload; answered by OP_STATE with the status file's JSON
	OP_STOP_NOW = 130, // no payload; answered by OP_STOP_NOW; QEMU is killed
};

#define CLIENTS_MAX 64
#define EXECS_MAX 56        // clients with a process: some connections stay free for kill and state
#define PROCESSES_MAX 128   // those of clients, and those whose client has gone but not yet they
#define PENDING_MAX 256

// Between a keeper and the machine's monitor that claims it: messages of two numbers (a stream). The claim carries the container's network
// namespace as a descriptor, if the machine has a tap.
enum keeper_word {
	KEEPER_CLAIM = 1,   // monitor → keeper; 0
	KEEPER_CLAIMED = 2, // keeper → monitor; QEMU's pid
	KEEPER_REFUSED = 3, // keeper → monitor; errno of what could not be done
	KEEPER_ENDED = 4,   // keeper → monitor; QEMU's wait status
	KEEPER_MOVED = 5,   // keeper → monitor, after CLAIMED where there is a tap; 0: it is in the container's network namespace
};

struct keeper_message {
	uint32_t word, value;
};

enum phase {
	BOOTING,      // until CONFIGURED
	CREATED,      // until START
	STARTING,     // until SPAWNED
	RUNNING,      // until EXITED
	DRAINING,     // until the output's end
	POWERING_OFF, // until QEMU's end
	KILLED,       // until QEMU's end, which is sure
	DEAD,         // until the consumers have the rest
};

struct client {
	struct link link;
	uint32_t process; // id of its process, 0: none
};

struct process {
	uint32_t id;       // 0: a free place
	int client;        // -1: it has gone
	bool awaiting, spawned, exited; // awaiting: its program, which EXECUTE names
	bool eof[2];
	uint32_t in_window;  // input the client may still send
	uint32_t window[2];  // output the guest may still send
};

// A request under way to the guest. PS, STATS and PING travel with the monitor's own number; behind each SIGNAL goes a PING, whose answer
// says that the signal met no error.
struct pending {
	uint8_t op;
	int client;       // -1: it has gone
	uint32_t number, theirs, id;
};

struct machine {
	struct config config;
	struct status status;
	enum phase phase;
	int64_t deadline; // of the phase, ms; 0: none
	struct link control;
	struct stdio io;
	struct client clients[CLIENTS_MAX];
	struct process processes[PROCESSES_MAX];
	struct pending pending[PENDING_MAX];
	size_t pending_count;
	uint32_t next_id, next_number;
	int listen_fd, signal_fd, tap_fd;
	int starter;       // client that waits for START's answer, -1: none
	uint8_t nonce[16];
	bool greeted;      // the guest has answered HELLO
	unsigned hellos;   // sent, less those answered
	unsigned old_hellos; // answers to an earlier host that are still passed over
	int64_t hello_at, connect_at, idle_since, quiet_since;
	size_t stray_bytes; // output that may still come for processes no longer known
	size_t late_bytes;  // output since EXITED
	uint8_t *configure, *spawn;
	size_t configure_length, spawn_length;
	pid_t qemu, sides[SIDES_MAX];
	void (*qemu_ended)(struct machine *m, int wait_status);
	int keeper_fd;     // -1: QEMU is our own child
	bool tap_pending;  // the keeper has not moved it yet
	bool released;     // the guest has written everything
	bool told;         // the starter knows that the machine is there: a START may come
	bool signalled;    // QEMU ended by a signal, or by ours
	int64_t side_lost_at;
	bool powered_off;  // a client asked for it
	bool hurried;      // STOP_NOW: a consumer that is stuck is hardly waited for
};

// monitor-machine.c: phases and their time limits.
void machine_hello(struct machine *m);
void machine_configured(struct machine *m);
int machine_spawn(struct machine *m, int client);
void machine_start_waiting(struct machine *m); // a START that came before the machine could
void machine_spawned(struct machine *m, uint32_t guest_pid);
void machine_not_spawned(struct machine *m, uint32_t error, const char *text);
void machine_exited(struct machine *m, uint32_t exit_code, bool oom);
void machine_kill(struct machine *m, int exit_code, const char *reason); // exit_code -1: by QEMU's end
void machine_break(struct machine *m, const char *why);                  // the guest broke the protocol
void machine_power_off(struct machine *m, uint32_t grace_ms);
void machine_qemu_ended(struct machine *m, int wait_status);
void machine_tick(struct machine *m);
int machine_wait_ms(const struct machine *m);
bool machine_is_done(const struct machine *m);
void machine_tell(struct machine *m);

// monitor-guest.c: frames of the guest.
uint32_t guest_payload_max(uint8_t op);
void guest_read(struct machine *m);

// monitor-switch.c: clients and their frames.
int clients_listen(struct machine *m, char *why, size_t why_size);
void clients_accept(struct machine *m);
void client_read(struct machine *m, int index);
void client_flush(struct machine *m, int index);
void client_send(struct machine *m, int index, uint8_t op, uint32_t id, const void *payload, size_t length);
void client_refuse(struct machine *m, int index, uint32_t id, int error, uint8_t op, const char *text);
void client_close(struct machine *m, int index);
bool client_waits(const struct machine *m, int index); // its next frame waits for room towards the guest
void clients_end(struct machine *m);

// monitor-order.c: what a process that awaits its program is told to become; the streams are then 0, 1 and 2.
int order_take(int socket, uint8_t *records, size_t *length); // 1: EXECUTE's payload (VM_MAX_DATA at most); 0: nothing yet; -1: none comes, or one that cannot be taken
void order_answer(int *socket, bool runs);                    // and closes it

// monitor-table.c: who a frame belongs to.
struct process *process_find(struct machine *m, uint32_t id);
struct process *process_add(struct machine *m, int client, const uint8_t *spawn, size_t length);
void process_settle(struct machine *m, struct process *process); // frees it when nothing more can come
struct pending *pending_add(struct machine *m, uint8_t op, int client, uint32_t theirs, uint32_t id);
struct pending *pending_find(struct machine *m, uint8_t op, uint32_t number);  // number 0: the oldest of this op
struct pending *pending_signal(struct machine *m, uint32_t id);
void pending_remove(struct machine *m, struct pending *pending);
void client_forget(struct machine *m, int index);

// monitor-qemu.c: every child process.
int qemu_start(struct machine *m, char *why, size_t why_size);
int cgroups_move(const struct config *config, pid_t pid, char *why, size_t why_size);
void qemu_kill(struct machine *m);
void sides_kill(struct machine *m);
void children_reap(struct machine *m); // the one caller of waitpid
int cgroups_join(const struct config *config, char *why, size_t why_size);

// monitor-tap.c: all of it in the network namespace that the caller is in.
int tap_open(const struct config *config, char *why, size_t why_size); // a new tap: the descriptor, or -1 with the reason
int tap_wire(const struct config *config, char *why, size_t why_size); // it and the link redirect to one another
int tap_move(const struct config *config, int netns);                  // to another network namespace. 0, or -1 with errno
void tap_remove(const struct config *config); // the redirect from the link; the tap ends with its descriptor

// monitor-claim.c: a QEMU that a keeper has had ready, instead of one of our own.
int keeper_claim(struct machine *m, int netns, char *why, size_t why_size);
void qemu_left(struct machine *m);   // nothing more is wanted of it, and its keeper is ending it
void keeper_read(struct machine *m); // its word of QEMU's end, or its own end

// monitor.c, monitor-client.c and monitor-keeper.c: the roles. They return the exit status.
int machine_run(const struct config *config);
int keeper_run(const struct config *config);
int client_run(const struct config *config, int signal_fd);

// monitor-starter.c
// Returns 0 in a child that goes on in the background, with ready_fd set; the caller's process ends itself once that is ready or has failed. -1: it cannot fork.
int starter_leave(struct config *config);
// Tells a reason on stderr and in the log.
void starter_tell(const struct config *config, const char *reason);
int signals_open(bool forward); // signalfd; forward: also the signals that a process is sent
#endif
