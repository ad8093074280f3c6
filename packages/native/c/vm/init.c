// pouch-init: PID 1 of a guest. One loop: waits on the control channel, the streams of processes and signals, and acts on the host's frames.
// It never returns, never trusts a byte of the channel, and takes no input from anywhere else.
#include "init.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_configure(uint32_t id, const unsigned char *payload, size_t length)
{
  if (configure(payload, length) < 0) {
    tell("pouch-init: CONFIGURE: %s", failure);
    channel_error(id, VM_CONFIGURE);
  } else {
    channel_send(VM_CONFIGURED, id, NULL, 0);
  }
}

static void on_prepare(uint32_t id, const unsigned char *payload, size_t length)
{
  if (prepare_root(payload, length) < 0) channel_error(id, VM_PREPARE);
  else channel_send(VM_PREPARED, id, NULL, 0);
}

static void on_spawn(uint32_t id, const unsigned char *payload, size_t length)
{
  if (spawn_process(id, payload, length) < 0) channel_error(id, VM_SPAWN);
}

static void on_execute(uint32_t id, const unsigned char *payload, size_t length)
{
  struct process *process;
  if (process_execute(id, payload, length) == 0) return;
  channel_error(id, VM_EXECUTE);
  // It could be asked for nothing else: its end is told as a start that failed.
  if ((process = process_find(id)) != NULL && process->order >= 0) kill(process->pid, SIGKILL);
}

static void on_stdin_close(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)payload;
  (void)length;
  process_close_input(id);
}

static void on_credit(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)length;
  process_credit(id, get32(payload), get32(payload + 4));
}

static void on_signal(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)length;
  uint32_t number = get32(payload), flags = get32(payload + 4);
  struct process *process = process_find(id);
  int done;
  if (number > 64) done = refuse(EINVAL, "signal %u: no such signal", number);
  else if ((flags & VM_SIGNAL_ALL) != 0) done = processes_alive() > 0 && kill(-1, (int)number) == 0 ? 0 : refuse(ESRCH, "signal %u: no process", number);
  else if (process == NULL || process->exited || process->failed) done = refuse(ESRCH, "signal %u: process %u has ended or was never there", number, id);
  // A further process (1 is the container's) goes with what it has started: it leads a group.
  else if (id != 1 && number == SIGKILL && kill(-process->pid, SIGKILL) == 0) done = 0;
  else done = kill(process->pid, (int)number) < 0 ? fail("signal %u to process %u", number, id) : 0;
  if (done < 0) channel_error(id, VM_SIGNAL);
}

static void on_winsize(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)length;
  struct process *process = process_find(id);
  if (process != NULL && process->terminal && process->output[0] >= 0) window_size(process->output[0], get16(payload), get16(payload + 2));
}

static void on_ps(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)id;
  (void)length;
  reply_ps(get32(payload));
}

static void on_stats(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)id;
  (void)length;
  reply_stats(get32(payload));
}

static void on_poweroff(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)id;
  (void)length;
  power_off_begin(get32(payload));
}

static void on_ping(uint32_t id, const unsigned char *payload, size_t length)
{
  channel_send(VM_PONG, id, payload, length);
}

static void on_clock(uint32_t id, const unsigned char *payload, size_t length)
{
  (void)id;
  (void)length;
  set_clock(get64(payload), payload + 8);
}

static void on_update(uint32_t id, const unsigned char *payload, size_t length)
{
  if (update_machine(payload, length) < 0) channel_error(id, VM_UPDATE);
  else channel_send(VM_UPDATED, id, NULL, 0);
}

// The length of each one's payload, and whether it is the machine's (id 0) or a process's.
static const struct { void (*act)(uint32_t id, const unsigned char *payload, size_t length); size_t least, most; bool of_machine; } operations[] = {
  [VM_CONFIGURE] = { on_configure, 0, VM_MAX_PAYLOAD, true }, [VM_SPAWN] = { on_spawn, 0, VM_MAX_PAYLOAD, false },
  [VM_STDIN] = { process_input, 0, VM_MAX_DATA, false }, [VM_STDIN_CLOSE] = { on_stdin_close, 0, 0, false },
  [VM_CREDIT] = { on_credit, 8, 8, false },                    [VM_SIGNAL] = { on_signal, 8, 8, false },
  [VM_WINSIZE] = { on_winsize, 4, 4, false },                  [VM_PS] = { on_ps, 4, 4, true },
  [VM_STATS] = { on_stats, 4, 4, true },                      [VM_POWEROFF] = { on_poweroff, 4, 4, true },
  [VM_PING] = { on_ping, 4, 1024, true },                     [VM_CLOCK] = { on_clock, 40, 40, true },
  [VM_UPDATE] = { on_update, 0, VM_MAX_DATA, true },           [VM_PREPARE] = { on_prepare, 0, VM_MAX_PAYLOAD, true },
  [VM_EXECUTE] = { on_execute, 0, VM_MAX_DATA, false },
};

void dispatch(uint8_t op, uint32_t id, const unsigned char *payload, size_t length)
{
  if (op >= COUNT(operations) || operations[op].act == NULL) {
    refuse(ENOTSUP, "operation %u is not known to this guest", op);
  } else if (length < operations[op].least || length > operations[op].most) {
    refuse(EPROTO, "operation %u: payload of %zu bytes", op, length);
  } else if (operations[op].of_machine && id != 0) {
    refuse(EINVAL, "operation %u: id %u, but it is the machine's", op, id);
  } else {
    operations[op].act(id, payload, length);
    return;
  }
  channel_error(id, op);
}

static int open_signals(void)
{
  sigset_t all;
  sigfillset(&all);
  // A fault of our own keeps its effect: the kernel then says so on the console.
  static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };
  for (size_t i = 0; i < COUNT(faults); i++) sigdelset(&all, faults[i]);
  sigprocmask(SIG_SETMASK, &all, NULL);
  return signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void take_signals(int fd)
{
  struct signalfd_siginfo info;
  // Which ones does not matter: SIGCHLD is answered by reaping, Ctrl-Alt-Del and power failure by powering off.
  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGINT || info.ssi_signo == SIGPWR) power_off_begin(2000);
  }
}

static int sooner(int left, int right)
{
  if (left < 0) return right;
  return right < 0 || left < right ? left : right;
}

static _Noreturn void serve(int signals)
{
  enum { SIGNALS, CHANNEL, MEMORY, OWN };
  static struct pollfd list[OWN + WATCH_MAX];
  for (;;) {
    short events = 0;
    list[SIGNALS] = (struct pollfd){ signals, POLLIN, 0 };
    list[CHANNEL] = (struct pollfd){ channel_poll_fd(&events), 0, 0 };
    list[CHANNEL].events = events;
    list[MEMORY] = (struct pollfd){ oom_fd(), POLLIN, 0 };
    size_t count = processes_watch(list + OWN, WATCH_MAX);
    int timeout = sooner(channel_timeout_ms(), power_off_timeout_ms());
    if (signals < 0) timeout = sooner(timeout, 20); // a kernel without signalfd: look often
    if (poll(list, (nfds_t)(OWN + count), timeout) < 0) {
      if (errno != EINTR && errno != EAGAIN) sleep_ms(10); // want of memory: again
      continue;
    }
    processes_serve(list + OWN, count);
    if (list[SIGNALS].revents != 0) take_signals(signals);
    if (list[MEMORY].revents != 0) oom_check();
    processes_reap();
    channel_serve();
    power_off_step();
  }
}

int main(void)
{
  enum channel_kind kind;
  if (getpid() != 1) {
    fprintf(stderr, "pouch-init is the first process of a virtual machine and nothing else\n");
    return 2;
  }
  reboot(RB_DISABLE_CAD);
  int signals = open_signals();
  boot_machine();
  int channel = find_channel(&kind);
  channel_open(channel, kind);
  serve(signals);
}
