// Frames of the guest. It must believe nothing: what an honest guest cannot send ends the machine.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "monitor.h"

#define HELLO_BYTES 28u // of the guest: magic, version, nonce, features
#define TEXT_MAX 1024u
#define CREDIT_MOST (64u << 20)

// What the guest may send: payload bytes at least and at most.
static const struct rule {
	uint8_t op;
	uint32_t least, most;
} rules[] = {
	{ VM_HELLO, HELLO_BYTES, HELLO_BYTES },
	{ VM_CREDIT, 8, 8 },
	{ VM_CONFIGURED, 0, 64 },
	{ VM_SPAWNED, 4, 4 },
	{ VM_AWAITING, 4, 4 },
	{ VM_STDOUT, 0, VM_MAX_DATA },
	{ VM_STDERR, 0, VM_MAX_DATA },
	{ VM_EOF, 4, 4 },
	{ VM_EXITED, 8, 8 },
	{ VM_ERROR, 8, 8 + TEXT_MAX },
	{ VM_PS_REPLY, 4, VM_MAX_PAYLOAD },
	{ VM_STATS_REPLY, 4, VM_MAX_PAYLOAD },
	{ VM_PONG, 4, 4 },
	{ VM_OOM, 0, 64 },
	{ VM_UPDATED, 0, 64 },
	{ VM_RELEASED, 0, 64 },
};

static const struct rule *rule_of(uint8_t op)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (rules[i].op == op) return &rules[i];
	return NULL;
}

uint32_t guest_payload_max(uint8_t op)
{
	const struct rule *rule = rule_of(op);
	return rule == NULL ? UINT32_MAX : rule->most;
}

// Before its HELLO a serial line may bring anything: echoes, stray bytes, console text. The answer is looked for byte by byte.
static bool find_hello(struct machine *m)
{
	uint8_t expected[VM_HEADER_BYTES + 8 + 16] = { 0 };
	put_u32(expected, HELLO_BYTES);
	expected[4] = VM_HELLO;
	put_u32(expected + VM_HEADER_BYTES, VM_MAGIC);
	put_u32(expected + VM_HEADER_BYTES + 4, VM_PROTOCOL_VERSION);
	memcpy(expected + VM_HEADER_BYTES + 8, m->nonce, sizeof m->nonce);
	struct buffer *in = &m->control.in;
	size_t whole = VM_HEADER_BYTES + HELLO_BYTES;
	for (; in->length >= whole; in->start++, in->length--) {
		uint8_t *at = in->bytes + in->start;
		if (memcmp(at, expected, VM_HEADER_BYTES + 4) != 0 || memcmp(at + VM_HEADER_BYTES + 8, m->nonce, sizeof m->nonce) != 0) continue;
		uint32_t version = get_u32(at + VM_HEADER_BYTES + 4);
		in->start += whole;
		in->length -= whole;
		if (version == VM_PROTOCOL_VERSION) return true;
		char why[128];
		snprintf(why, sizeof why, "the guest speaks version %u of the protocol, not %u: its initrd is of another release", version, VM_PROTOCOL_VERSION);
		machine_kill(m, 255, why);
		return false;
	}
	return false;
}

static const char *output(struct machine *m, const struct frame *frame)
{
	if (frame->id == 1) {
		if (m->phase >= DRAINING) m->late_bytes += frame->length;
		m->idle_since = now_ms();
		return stdio_frame(&m->io, frame);
	}
	struct process *process = process_find(m, frame->id);
	if (process == NULL) {
		if (frame->length > m->stray_bytes) return "output of a process that there is not";
		m->stray_bytes -= frame->length;
		return NULL;
	}
	int stream = frame->op == VM_STDOUT ? 0 : 1;
	if (process->eof[stream] && frame->length > 0) return "output after its end";
	if (frame->length > process->window[stream]) return "output beyond its credit";
	process->window[stream] -= frame->length;
	if (process->client >= 0) {
		client_send(m, process->client, frame->op, frame->id, frame->payload, frame->length);
		return NULL;
	}
	// Nobody reads it any more: the process is not held up by that.
	uint8_t credit[8];
	put_u32(credit, (uint32_t)stream + 1);
	put_u32(credit + 4, frame->length);
	if (frame->length > 0 && !link_is_full(&m->control) && link_send(&m->control, VM_CREDIT, frame->id, credit, sizeof credit) == 0)
		process->window[stream] += frame->length;
	return NULL;
}

static const char *stream_end(struct machine *m, const struct frame *frame)
{
	uint32_t stream = get_u32(frame->payload);
	if (stream != 1 && stream != 2) return "an end of a stream that there is not";
	m->idle_since = now_ms();
	if (frame->id == 1) return stdio_frame(&m->io, frame);
	struct process *process = process_find(m, frame->id);
	if (process == NULL) return NULL;
	process->eof[stream - 1] = true;
	if (process->client >= 0) client_send(m, process->client, frame->op, frame->id, frame->payload, frame->length);
	process_settle(m, process);
	return NULL;
}

static const char *input_credit(struct machine *m, const struct frame *frame)
{
	uint32_t bytes = get_u32(frame->payload + 4);
	if (frame->id == 1) return stdio_frame(&m->io, frame);
	struct process *process = process_find(m, frame->id);
	if (process == NULL) return NULL;
	if (get_u32(frame->payload) != 0) return "credit for a stream that it sends itself";
	if (bytes > CREDIT_MOST || process->in_window + bytes > CREDIT_MOST) return "more credit than there can be";
	process->in_window += bytes;
	if (process->client >= 0) client_send(m, process->client, frame->op, frame->id, frame->payload, frame->length);
	return NULL;
}

static const char *spawned(struct machine *m, const struct frame *frame)
{
	if (frame->id == 1) {
		if (m->phase != STARTING || frame->op != VM_SPAWNED) return "a start that nobody asked for";
		machine_spawned(m, get_u32(frame->payload));
		return NULL;
	}
	struct process *process = process_find(m, frame->id);
	if (process == NULL || process->spawned || (frame->op == VM_AWAITING && process->awaiting)) return "a start that nobody asked for";
	process->spawned = frame->op == VM_SPAWNED;
	process->awaiting = !process->spawned;
	if (process->client >= 0) {
		client_send(m, process->client, frame->op, frame->id, frame->payload, frame->length);
		return NULL;
	}
	// Its client went meanwhile.
	uint8_t kill[8] = { 9 };
	link_send(&m->control, VM_SIGNAL, frame->id, kill, sizeof kill);
	return NULL;
}

static const char *exited(struct machine *m, const struct frame *frame)
{
	uint32_t code = get_u32(frame->payload), flags = get_u32(frame->payload + 4);
	if (code > 255) return "an exit status that there is not";
	if (frame->id == 1) {
		if (m->phase != RUNNING && !(m->phase == POWERING_OFF && m->status.guest_pid > 0 && m->status.exit_code < 0)) return "an end of a process that does not run";
		machine_exited(m, code, (flags & VM_EXIT_OOM) != 0);
		return NULL;
	}
	struct process *process = process_find(m, frame->id);
	if (process == NULL || !process->spawned || process->exited) return "an end of a process that does not run";
	process->exited = true;
	if (process->client >= 0) client_send(m, process->client, frame->op, frame->id, frame->payload, frame->length);
	process_settle(m, process);
	return NULL;
}

static void answer(struct machine *m, struct pending *pending, const struct frame *frame, uint8_t op)
{
	uint8_t number[4];
	if (pending->client >= 0 && op == VM_UPDATED) client_send(m, pending->client, op, 0, frame->payload, frame->length);
	else if (pending->client >= 0) {
		put_u32(number, pending->theirs);
		struct link *link = &m->clients[pending->client].link;
		if (link_send_parts(link, op, 0, number, 4, frame->payload + 4, frame->length - 4) < 0) client_close(m, pending->client);
	}
	pending_remove(m, pending);
}

static const char *reply(struct machine *m, const struct frame *frame, uint8_t asked)
{
	struct pending *pending = pending_find(m, asked, get_u32(frame->payload));
	if (pending != NULL) answer(m, pending, frame, frame->op);
	// Else the one who asked has gone long ago, or this is the PING behind a signal.
	else if (asked == VM_PING && (pending = pending_find(m, VM_SIGNAL, get_u32(frame->payload))) != NULL) pending_remove(m, pending);
	return NULL;
}

static const char *failure(struct machine *m, const struct frame *frame)
{
	char text[TEXT_MAX + 1];
	uint32_t error = get_u32(frame->payload), op = get_u32(frame->payload + 4);
	text_clean(text, sizeof text, frame->payload + 8, frame->length - 8);
	struct pending *pending = NULL;
	switch (op) {
	case VM_CONFIGURE:
		if (m->phase != BOOTING) return "a refusal of what was done";
		machine_kill(m, 255, text[0] == '\0' ? "the guest refuses its configuration" : text);
		return NULL;
	case VM_SPAWN:
		if (frame->id == 1) {
			if (m->phase != STARTING) return "a refusal of what was done";
			machine_not_spawned(m, error, text);
			return NULL;
		}
		struct process *process = process_find(m, frame->id);
		if (process == NULL || process->spawned) return "a refusal of what was done";
		if (process->client >= 0) {
			m->clients[process->client].process = 0;
			client_send(m, process->client, VM_ERROR, frame->id, frame->payload, frame->length);
		}
		process->id = 0;
		return NULL;
	case VM_SIGNAL:
		pending = pending_signal(m, frame->id);
		break;
	case VM_PS:
	case VM_STATS:
	case VM_UPDATE:
		pending = pending_find(m, (uint8_t)op, 0);
		break;
	default:
		break; // of a process that ended meanwhile, say
	}
	if (pending == NULL) return NULL;
	if (pending->client >= 0) client_send(m, pending->client, VM_ERROR, frame->id, frame->payload, frame->length);
	pending_remove(m, pending);
	return NULL;
}

static const char *guest_frame(struct machine *m, const struct frame *frame)
{
	const struct rule *rule = rule_of(frame->op);
	if (rule == NULL || frame->length < rule->least) return "a frame shorter than its minimum";
	if (frame->op == VM_HELLO) {
		// Answers to the repeated ones; and those to whoever greeted the machine before it was saved as a template, which every clone gives again.
		bool ours = memcmp(frame->payload + 8, m->nonce, sizeof m->nonce) == 0;
		if (ours ? m->hellos == 0 : m->old_hellos == 0) return "a greeting that nobody asked for";
		if (ours) m->hellos--;
		else m->old_hellos--;
		return NULL;
	}
	if (m->phase == BOOTING && frame->op != VM_CONFIGURED && frame->op != VM_ERROR && frame->op != VM_OOM) return "a frame before it is configured";
	bool of_process = frame->op == VM_SPAWNED || frame->op == VM_AWAITING || frame->op == VM_STDOUT || frame->op == VM_STDERR || frame->op == VM_EOF || frame->op == VM_EXITED
		|| frame->op == VM_CREDIT;
	if (of_process && (frame->id == 0 || frame->id >= m->next_id || (frame->id == 1 && m->phase < STARTING))) return "a process that there never was";
	if (!of_process && frame->op != VM_ERROR && frame->id != 0) return "a process where there is none";
	switch (frame->op) {
	case VM_CONFIGURED:
		if (m->phase != BOOTING) return "configured twice";
		machine_configured(m);
		return NULL;
	case VM_AWAITING:
	case VM_SPAWNED: return spawned(m, frame);
	case VM_STDOUT:
	case VM_STDERR: return output(m, frame);
	case VM_EOF: return stream_end(m, frame);
	case VM_EXITED: return exited(m, frame);
	case VM_CREDIT: return input_credit(m, frame);
	case VM_ERROR: return failure(m, frame);
	case VM_PS_REPLY: return reply(m, frame, VM_PS);
	case VM_STATS_REPLY: return reply(m, frame, VM_STATS);
	case VM_PONG: return reply(m, frame, VM_PING);
	case VM_UPDATED: {
		struct pending *pending = pending_find(m, VM_UPDATE, 0);
		if (pending != NULL) answer(m, pending, frame, VM_UPDATED);
		return NULL;
	}
	case VM_RELEASED:
		// What the guest's kernel would do from here on serves nobody. One that powers off by itself is left to it.
		if (m->phase != POWERING_OFF) return NULL;
		qemu_kill(m);
		m->released = true;
		return NULL;
	case VM_OOM:
		if (!m->status.oom_killed) {
			m->status.oom_killed = true;
			machine_tell(m);
		}
		return NULL;
	default: return "an operation that it may not send";
	}
}

void guest_read(struct machine *m)
{
	for (int fills = 0; fills < 16 && m->control.fd >= 0; fills++) {
		int got = link_fill(&m->control);
		if (got < 0) {
			// QEMU's end follows; a QEMU that lives on without it is ended by machine_tick.
			link_close(&m->control);
			if (m->quiet_since == 0) m->quiet_since = now_ms();
			return;
		}
		if (!m->greeted) {
			if (!find_hello(m)) {
				if (got == 0) return;
				continue;
			}
			machine_hello(m);
		}
		struct frame frame;
		const char *why = NULL;
		int found = 1;
		while (m->phase < DEAD && (found = link_next(&m->control, &frame, &why)) == 1) {
			why = guest_frame(m, &frame);
			if (why != NULL) break;
		}
		if (why != NULL) {
			machine_break(m, why);
			link_close(&m->control);
			return;
		}
		if (got == 0) return;
	}
}
