// Whose process and whose request a frame of the guest belongs to. Both tables have a fixed size.
#define _GNU_SOURCE
#include <string.h>
#include "monitor.h"

struct process *process_find(struct machine *m, uint32_t id)
{
	for (size_t i = 0; id != 0 && i < PROCESSES_MAX; i++)
		if (m->processes[i].id == id) return &m->processes[i];
	return NULL;
}

static bool has_record(const uint8_t *records, size_t length, unsigned tag)
{
	for (size_t at = 0; length - at >= 8;) {
		size_t bytes = get_u32(records + at + 4);
		if ((unsigned)(records[at] | records[at + 1] << 8) == tag) return true;
		if (bytes > length - at - 8) return false;
		at += 8 + bytes;
	}
	return false;
}

// A process that has ended but whose output a child of it keeps open gives its place away; what it had credit for may still come.
static struct process *free_place(struct machine *m)
{
	struct process *oldest = NULL;
	for (size_t i = 0; i < PROCESSES_MAX; i++) {
		struct process *process = &m->processes[i];
		if (process->id == 0) return process;
		if (process->exited && process->client < 0 && (oldest == NULL || process->id < oldest->id)) oldest = process;
	}
	if (oldest != NULL) m->stray_bytes += (size_t)oldest->window[0] + oldest->window[1];
	return oldest;
}

struct process *process_add(struct machine *m, int client, const uint8_t *spawn, size_t length)
{
	struct process *process = m->next_id == UINT32_MAX ? NULL : free_place(m);
	if (process == NULL) return NULL;
	*process = (struct process){
		.id = m->next_id++, .client = client, .in_window = VM_INITIAL_CREDIT, .window = { VM_INITIAL_CREDIT, VM_INITIAL_CREDIT },
		// A terminal has one output.
		.eof = { false, has_record(spawn, length, VM_S_TTY) },
	};
	return process;
}

void process_settle(struct machine *m, struct process *process)
{
	if (!process->exited || !process->eof[0] || !process->eof[1]) return;
	if (process->client >= 0) m->clients[process->client].process = 0;
	process->id = 0;
}

void pending_remove(struct machine *m, struct pending *pending)
{
	size_t index = (size_t)(pending - m->pending);
	m->pending_count--;
	memmove(pending, pending + 1, (m->pending_count - index) * sizeof *pending);
}

struct pending *pending_add(struct machine *m, uint8_t op, int client, uint32_t theirs, uint32_t id)
{
	// A guest that hangs never answers: the requests of clients that have gone make room.
	for (size_t i = 0; m->pending_count == PENDING_MAX && i < PENDING_MAX; i++)
		if (m->pending[i].client < 0) pending_remove(m, &m->pending[i]);
	if (m->pending_count == PENDING_MAX) return NULL;
	struct pending *pending = &m->pending[m->pending_count++];
	if (++m->next_number == 0) m->next_number = 1;
	*pending = (struct pending){ op, client, m->next_number, theirs, id };
	return pending;
}

struct pending *pending_find(struct machine *m, uint8_t op, uint32_t number)
{
	for (size_t i = 0; i < m->pending_count; i++)
		if (m->pending[i].op == op && (number == 0 || m->pending[i].number == number)) return &m->pending[i];
	return NULL;
}

struct pending *pending_signal(struct machine *m, uint32_t id)
{
	for (size_t i = 0; i < m->pending_count; i++)
		if (m->pending[i].op == VM_SIGNAL && m->pending[i].id == id) return &m->pending[i];
	return NULL;
}

void client_forget(struct machine *m, int index)
{
	for (size_t i = 0; i < m->pending_count; i++)
		if (m->pending[i].client == index) m->pending[i].client = -1;
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (m->processes[i].id != 0 && m->processes[i].client == index) m->processes[i].client = -1;
	if (m->starter == index) m->starter = -1;
}
