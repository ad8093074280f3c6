// pouch-init: the processes started by SPAWN, their streams and their ends. Output is read only as far as the host has given credit and the
// channel has room; input is kept up to the credit the host had. It starts nothing.
#include "init.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct process table[VM_MAX_PROCESSES];
static size_t highest; // slots ever used: what has to be looked through

struct process *process_find(uint32_t id)
{
  for (size_t i = 0; id != 0 && i < highest; i++) {
    if (table[i].id == id) return &table[i];
  }
  return NULL;
}

struct process *process_new(uint32_t id)
{
  size_t i = 0;
  while (i < VM_MAX_PROCESSES && table[i].id != 0) i++;
  if (i == VM_MAX_PROCESSES) return NULL;
  if (i >= highest) highest = i + 1;
  table[i] = (struct process){ .id = id, .input = -1, .output = { -1, -1 }, .report = -1, .order = -1, .credit = { VM_INITIAL_CREDIT, VM_INITIAL_CREDIT } };
  return &table[i];
}

static void shut(int *fd)
{
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void drop_input(struct process *process)
{
  shut(&process->input);
  free(process->pending);
  process->pending = NULL;
  process->pending_start = process->pending_length = 0;
}

void process_drop(struct process *process)
{
  drop_input(process);
  shut(&process->output[0]);
  shut(&process->output[1]);
  shut(&process->report);
  shut(&process->order);
  process->id = 0;
  while (highest > 0 && table[highest - 1].id == 0) highest--;
}

static void settle(struct process *process)
{
  if (process->exited && process->report < 0 && process->output[0] < 0 && process->output[1] < 0) process_drop(process);
}

static void send_number(uint8_t op, uint32_t id, uint32_t first, uint32_t second, size_t count)
{
  unsigned char payload[8];
  put32(payload, first);
  put32(payload + 4, second);
  channel_send(op, id, payload, count * 4);
}

static void give_credit(struct process *process, uint32_t bytes, bool now)
{
  process->returned += bytes;
  if (process->returned == 0 || (!now && process->returned < VM_INITIAL_CREDIT / 4)) return;
  send_number(VM_CREDIT, process->id, 0, process->returned, 2);
  process->returned = 0;
}

// Nobody reads it any more: what comes is taken and thrown away, so that the host is not held up.
static void lose_input(struct process *process)
{
  uint32_t bytes = process->pending_length;
  drop_input(process);
  give_credit(process, bytes, true);
}

static void push_input(struct process *process)
{
  while (process->input >= 0 && process->pending_length > 0) {
    ssize_t done = write(process->input, process->pending + process->pending_start, process->pending_length);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) return;
    if (done <= 0) return lose_input(process);
    process->pending_start += (uint32_t)done;
    process->pending_length -= (uint32_t)done;
    give_credit(process, (uint32_t)done, false);
  }
  if (process->pending_length == 0) {
    process->pending_start = 0;
    if (process->close_input) drop_input(process);
  }
}

void process_input(uint32_t id, const unsigned char *data, size_t length)
{
  struct process *process = process_find(id);
  if (process == NULL || length == 0) return; // it has ended meanwhile: no error, the host knows or will soon
  if (process->input < 0 || process->close_input) return give_credit(process, (uint32_t)length, true);
  if (process->pending == NULL && (process->pending = malloc(VM_INITIAL_CREDIT)) == NULL) {
    fail("stdin of process %u", id);
    channel_error(id, VM_STDIN);
    return;
  }
  if (process->pending_length + process->returned + length > VM_INITIAL_CREDIT) {
    refuse(ENOBUFS, "stdin of process %u: more than its credit of %u bytes", id, VM_INITIAL_CREDIT);
    channel_error(id, VM_STDIN);
    return;
  }
  if (process->pending_start + process->pending_length + length > VM_INITIAL_CREDIT) {
    memmove(process->pending, process->pending + process->pending_start, process->pending_length);
    process->pending_start = 0;
  }
  memcpy(process->pending + process->pending_start + process->pending_length, data, length);
  process->pending_length += (uint32_t)length;
  push_input(process);
}

void process_close_input(uint32_t id)
{
  struct process *process = process_find(id);
  // A terminal has no end of its input but a character, which is the client's to send.
  if (process == NULL || process->terminal) return;
  process->close_input = true;
  push_input(process);
}

void process_credit(uint32_t id, uint32_t stream, uint32_t bytes)
{
  struct process *process = process_find(id);
  if (process == NULL || (stream != 1 && stream != 2)) return;
  uint32_t *credit = &process->credit[stream - 1];
  channel_credited(bytes);
  *credit = bytes > UINT32_MAX - *credit ? UINT32_MAX : *credit + bytes;
}

uint32_t process_id_of(pid_t pid)
{
  for (size_t i = 0; i < highest; i++) {
    if (table[i].id != 0 && !table[i].exited && table[i].pid == pid) return table[i].id;
  }
  return 0;
}

size_t processes_alive(void)
{
  size_t count = 0;
  for (size_t i = 0; i < highest; i++) count += table[i].id != 0 && !table[i].exited;
  return count;
}

static void not_started(struct process *process)
{
  process->failed = true;
  drop_input(process);
  shut(&process->output[0]);
  shut(&process->output[1]);
  shut(&process->order);
  channel_error(process->id, VM_SPAWN);
}

bool process_awaits(pid_t pid)
{
  struct process *process = process_find(process_id_of(pid));
  return process != NULL && process->order >= 0;
}

int process_execute(uint32_t id, const unsigned char *payload, size_t length)
{
  struct process *process = process_find(id);
  unsigned char head[4];
  struct iovec parts[2] = { { head, sizeof head }, { (void *)(uintptr_t)payload, length } };
  struct reader reader = { payload, payload + length };
  struct record record;
  bool input = false;
  int more;
  if (process == NULL || process->order < 0) return refuse(ESRCH, "EXECUTE: process %u does not await it", id);
  while ((more = next_record(&reader, &record)) != 0) {
    if (more < 0) return -1;
    input = input || record.tag == VM_S_STDIN;
    if (record.tag > VM_S_CWD && record.tag != VM_S_STDIN) return refuse(ENOTSUP, "EXECUTE: setting %u was to be known before", record.tag);
  }
  put32(head, (uint32_t)length);
  // An empty pipe takes so much at once. That it is closed tells that there was an order.
  if (writev(process->order, parts, 2) != (ssize_t)(sizeof head + length)) return fail("EXECUTE");
  shut(&process->order);
  if (!input) drop_input(process);
  return 0;
}

// What the child has to say about its start: that it awaits its order, why it failed, or nothing when it became the program.
static void read_report(struct process *process)
{
  struct { int32_t code; char text[FAILURE_MAX]; } report;
  if (process->report < 0) return;
  ssize_t got = read(process->report, &report, sizeof report);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got == (ssize_t)sizeof report.code && report.code == 0) {
    send_number(VM_AWAITING, process->id, (uint32_t)process->pid, 0, 1);
    return;
  }
  shut(&process->report);
  if (got < (ssize_t)sizeof report.code && process->order >= 0) {
    refuse(ESRCH, "the process ended while it awaited its program");
    not_started(process);
    return;
  }
  if (got < (ssize_t)sizeof report.code) {
    process->started = true;
    send_number(VM_SPAWNED, process->id, (uint32_t)process->pid, 0, 1);
    return;
  }
  ((char *)&report)[got < (ssize_t)sizeof report ? (size_t)got : sizeof report - 1] = '\0';
  refuse(report.code, "%s", report.text);
  not_started(process);
}

static void ended(struct process *process, int status)
{
  // An end so early that its start was not told yet; of one that awaits there may be two things to tell.
  for (int words = 0; words < 2; words++) read_report(process);
  if (process->report >= 0) { // cannot be: its other end died with the process
    shut(&process->report);
    process->failed = true;
  }
  process->exited = true;
  drop_input(process);
  bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  uint32_t code = WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status);
  oom_check();
  bool oom = killed && oom_killed(process->pid);
  if (!process->failed) send_number(VM_EXITED, process->id, code, oom ? VM_EXIT_OOM : 0, 2);
  if (process->id == 1) spawn_first_ended();
  settle(process);
}

void processes_reap(void)
{
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
    for (size_t i = 0; pid > 0 && i < highest; i++) {
      if (table[i].id == 0 || table[i].exited || table[i].pid != pid) continue;
      ended(&table[i], status);
      break;
    }
  }
}

// The streams of one process as the loop sees them; watched[] says whose each entry of the poll list is.
enum { STDOUT, STDERR, INPUT, REPORT, STREAMS };
static struct { uint16_t slot; uint8_t stream; } watched[WATCH_MAX];

static int descriptor(const struct process *process, int stream)
{
  return stream == REPORT ? process->report : stream == INPUT ? process->input : process->output[stream];
}

static bool wanted(const struct process *process, int stream, bool data)
{
  if (descriptor(process, stream) < 0) return false;
  if (stream == REPORT) return true;
  if (stream == INPUT) return process->pending_length > 0;
  return data && process->started && process->credit[stream] > 0;
}

size_t processes_watch(struct pollfd *list, size_t room)
{
  bool data = channel_takes_data();
  size_t count = 0;
  for (size_t i = 0; i < highest; i++) {
    for (int stream = 0; table[i].id != 0 && stream < STREAMS && count < room && count < WATCH_MAX; stream++) {
      // A descriptor that is not wanted now is left out: poll tells of a hang-up even where nothing was asked.
      if (!wanted(&table[i], stream, data)) continue;
      watched[count].slot = (uint16_t)i;
      watched[count].stream = (uint8_t)stream;
      list[count++] = (struct pollfd){ descriptor(&table[i], stream), stream == INPUT ? POLLOUT : POLLIN, 0 };
    }
  }
  return count;
}

static void pull_output(struct process *process, int stream)
{
  uint32_t most = process->credit[stream] < VM_MAX_DATA ? process->credit[stream] : VM_MAX_DATA;
  unsigned char *room = most > 0 && channel_takes_data() ? channel_frame((uint8_t)(VM_STDOUT + stream), process->id, most) : NULL;
  if (room == NULL) return;
  ssize_t got = read(process->output[stream], room, most);
  if (got > 0) {
    channel_commit((size_t)got);
    process->credit[stream] -= (uint32_t)got;
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) { // EIO: nobody has the terminal open any more
    shut(&process->output[stream]);
    send_number(VM_EOF, process->id, (uint32_t)stream + 1, 0, 1);
    if (process->terminal) send_number(VM_EOF, process->id, 2, 0, 1); // which it never had: a host that waits for both need not know
    settle(process);
  }
}

void processes_serve(const struct pollfd *list, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    struct process *process = &table[watched[i].slot];
    int stream = watched[i].stream;
    if (list[i].revents == 0 || process->id == 0 || descriptor(process, stream) != list[i].fd) continue;
    if (stream == REPORT) read_report(process);
    else if (stream == INPUT) push_input(process);
    else pull_output(process, stream);
  }
}
