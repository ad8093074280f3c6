// The standard streams of one process.
#pragma once
#include "shim.h"

struct console;

struct stdio {
	int given[3];       /* for the runtime: closed once it has them; -1: nothing, /dev/null */
	int input;          /* our writer of stdin's FIFO, so that it does not end between two clients; -1: closed */
	int readers[2];     /* ours of the output's FIFOs: what nobody has read yet stays there until the process is deleted */
	int pipes[2];       /* to the log writer, held until the process has ended */
	struct watch early[2]; /* the log writer's ends of them, until the process is let go: what comes before that is the runtime's words, and thrown away */
	int begin;          /* to the log writer: a byte says that from now on it is the process that writes; -1: said, or nobody to say it to */
	struct child writer; /* pid 0: none, or ended */
	struct watch writer_ready;
	bool ready;
	struct timer patience;
	struct console *console;
	void (*changed)(struct stdio *stdio); /* the log writer is ready, or something has ended */
};

void stdio_init(struct stdio *stdio, void (*changed)(struct stdio *));
// Opens what the paths name: a FIFO, file://PATH, binary://PATH?NAME=VALUE… (stdout; takes stderr, too), or nothing. False: `reason`.
bool stdio_open(struct stdio *stdio, bool terminal, const char *in, const char *out, const char *err, char reason[REASON_MAX]);
void stdio_begin(struct stdio *stdio);      // to be called before the process is let go
void stdio_passed_on(struct stdio *stdio);  // the runtime has them
void stdio_close_input(struct stdio *stdio);
void stdio_process_ended(struct stdio *stdio);
void stdio_finish(struct stdio *stdio);      // ends what is left, soon; `changed` tells
bool stdio_is_over(const struct stdio *stdio);
void stdio_close(struct stdio *stdio);

// console.c: a terminal's master comes over a socket from the runtime and is copied to and from the streams.
struct console *console_new(int in, int out, void (*changed)(void *), void *whom); // takes the descriptors, -1: none
const char *console_socket(struct console *console);    // NULL: it could not be made
bool console_take(struct console *console);             // after the runtime's end: begins to copy; false: no master came
void console_resize(struct console *console, unsigned columns, unsigned rows);
bool console_is_over(const struct console *console);    // everything was copied
void console_free(struct console *console);
