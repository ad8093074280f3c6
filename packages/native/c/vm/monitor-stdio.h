// Relays this process's own fds 0, 1, 2 (or a pty's slave) over a link, as the streams of one process in the guest. Credits bound it both ways.
#ifndef POUCH_MONITOR_STDIO_H
#define POUCH_MONITOR_STDIO_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "monitor-link.h"

struct outlet {
	int fd;
	bool is_socket;
	size_t chunk;        // most bytes of one write: one that the fd takes without blocking after POLLOUT
	uint8_t *ring;       // VM_INITIAL_CREDIT bytes, made when first needed
	size_t start, length;
	uint32_t window;     // what the guest may still send
	uint32_t consumed;   // taken by the consumer, not yet given back as credit
	bool broken;         // the consumer has gone: bytes are dropped, the guest is not held up
	bool eof;            // the guest sends nothing more
};

struct stdio {
	struct link *link;
	uint32_t id;
	bool tty, reads;     // reads: there is a standard input to relay
	bool started;        // SPAWNED has come: frames of this id may be sent
	bool in_closed;
	uint32_t in_credit;
	struct outlet outlets[2]; // stdout, stderr
	uint16_t rows, columns;   // the last told
	int64_t moved_at;    // when a byte was last taken by a consumer, ms
};

void stdio_init(struct stdio *io, struct link *link, bool tty, bool reads);

// Opens a pty, sends its master to the unix socket `console_socket`, and makes the slave fds 0, 1, 2 and the controlling terminal.
// -1 with the reason in `why`.
int pty_open(const char *console_socket, char *why, size_t why_size);

// The terminal's size; 0 0 when unknown.
void pty_size(uint16_t *rows, uint16_t *columns);

// Writes the terminal's size into the VM_S_TTY record of a SPAWN payload, where both are there.
void spawn_set_size(struct stdio *io, uint8_t *spawn, size_t length);

// SPAWNED has come.
void stdio_start(struct stdio *io);
// The window may have changed.
void stdio_resize(struct stdio *io);

// Frames of this process: STDOUT, STDERR, EOF, CREDIT. NULL, or how they break the protocol.
const char *stdio_frame(struct stdio *io, const struct frame *frame);

// Fills three pollfds (fd -1: nothing to wait for), and handles what came of them.
void stdio_poll(const struct stdio *io, struct pollfd fds[3]);
void stdio_handle(struct stdio *io, const struct pollfd fds[3]);

// Gives back credit that was held while the link was full.
void stdio_give_credit(struct stdio *io);

bool stdio_is_drained(const struct stdio *io); // nothing waits for a consumer
bool stdio_at_eof(const struct stdio *io);     // and nothing more comes
void stdio_end(struct stdio *io);              // the guest has gone: nothing more comes, nothing more is read

#endif
