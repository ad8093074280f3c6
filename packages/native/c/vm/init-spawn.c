// pouch-init: SPAWN. Reads and checks the records, makes pipes or a terminal, forks into the container's namespaces. What the child does
// is in init-child.c; whether it became its program is told later through a pipe, so that a program that is slow to start holds up nothing.
#include "init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define STRINGS_MAX 65536u
#define GROUPS_MAX 65536u

// The namespaces of the container, from the start of its own process to its end.
static int pid_namespace = -1, mount_namespace = -1;

static char **arguments, **environment;

static int read_ids(struct spawn *spawn, struct reader *reader)
{
  if (take32(reader, &spawn->uid) < 0 || take32(reader, &spawn->gid) < 0 || take32(reader, &spawn->umask) < 0) return -1;
  size_t count = (size_t)(reader->end - reader->at) / 4;
  if (count > GROUPS_MAX || count * 4 != (size_t)(reader->end - reader->at)) return refuse(EPROTO, "SPAWN: groups");
  free(spawn->groups);
  spawn->groups = calloc(count + 1, sizeof spawn->groups[0]);
  if (spawn->groups == NULL) return fail("groups");
  for (spawn->group_count = 0; spawn->group_count < count; spawn->group_count++) (void)take32(reader, &spawn->groups[spawn->group_count]);
  return 0;
}

static int read_limit(struct spawn *spawn, struct reader *reader)
{
  unsigned char bytes[24];
  if (take_bytes(reader, bytes, sizeof bytes) < 0) return -1;
  if (spawn->limit_count == COUNT(spawn->limits)) return refuse(E2BIG, "SPAWN: more than %zu limits", COUNT(spawn->limits));
  size_t i = spawn->limit_count++;
  spawn->limits[i].resource = get32(bytes);
  spawn->limits[i].soft = get64(bytes + 8);
  spawn->limits[i].hard = get64(bytes + 16);
  return 0;
}

static int read_caps(struct spawn *spawn, struct reader *reader)
{
  unsigned char bytes[40];
  if (take_bytes(reader, bytes, sizeof bytes) < 0) return -1;
  for (size_t i = 0; i < 5; i++) spawn->caps[i] = get64(bytes + 8 * i);
  spawn->has_caps = true;
  return 0;
}

static int read_terminal(struct spawn *spawn, struct reader *reader)
{
  unsigned char bytes[4];
  if (take_bytes(reader, bytes, sizeof bytes) < 0) return -1;
  spawn->rows = get16(bytes);
  spawn->columns = get16(bytes + 2);
  spawn->terminal = true;
  return 0;
}

static int add_string(char **list, size_t *count, struct reader *reader)
{
  if (*count == STRINGS_MAX) return refuse(E2BIG, "SPAWN: more than %u strings", STRINGS_MAX);
  if ((list[*count] = take_rest(reader)) == NULL) return -1;
  (*count)++;
  return 0;
}

static int read_spawn(struct spawn *spawn, const unsigned char *payload, size_t length, size_t counts[2])
{
  struct reader reader = { payload, payload + length };
  struct record record;
  int more;
  while ((more = next_record(&reader, &record)) != 0) {
    if (more < 0) return -1;
    struct reader in = { record.bytes, record.bytes + record.length };
    uint32_t number;
    int done = 0;
    switch (record.tag) {
    case VM_S_ARG: done = add_string(arguments, &counts[0], &in); break;
    case VM_S_ENV: done = add_string(environment, &counts[1], &in); break;
    case VM_S_CWD: free(spawn->cwd); done = (spawn->cwd = take_rest(&in)) == NULL ? -1 : 0; break;
    case VM_S_IDS: done = read_ids(spawn, &in); break;
    case VM_S_TTY: done = read_terminal(spawn, &in); break;
    case VM_S_STDIN: spawn->input = true; break;
    case VM_S_CAPS: done = read_caps(spawn, &in); break;
    case VM_S_RLIMIT: done = read_limit(spawn, &in); break;
    case VM_S_NO_NEW_PRIVS: spawn->no_new_privs = true; break;
    case VM_S_OOM_SCORE_ADJ:
      done = take32(&in, &number);
      spawn->oom = (int32_t)number;
      spawn->has_oom = true;
      break;
    case VM_S_FILES:
      if (record.length != 1) done = refuse(EPROTO, "SPAWN: files");
      else spawn->writing = record.bytes[0] != 0;
      spawn->files = true;
      break;
    case VM_S_AWAIT: spawn->awaits = true; break;
    case VM_S_SECCOMP:
      if (record.length % 8 != 0 || record.length == 0) done = refuse(EPROTO, "SPAWN: seccomp filter");
      spawn->filter = record.bytes;
      spawn->filter_bytes = record.length;
      break;
    case VM_S_HOOK:
      if (spawn->hook_count == COUNT(spawn->hooks)) done = refuse(E2BIG, "SPAWN: more than %zu hooks", COUNT(spawn->hooks));
      else spawn->hooks[spawn->hook_count++] = in;
      break;
    case VM_S_HOOK_STATE:
      spawn->hook_state = record.bytes;
      spawn->hook_state_length = record.length;
      break;
    default: done = refuse(ENOTSUP, "SPAWN: unknown setting %u", record.tag);
    }
    if (done < 0) return -1;
  }
  return counts[0] > 0 || spawn->files || spawn->awaits ? 0 : refuse(EINVAL, "SPAWN: no program");
}

int spawn_order(struct spawn *spawn, const unsigned char *payload, size_t length)
{
  size_t counts[2] = { 0, 0 };
  if (read_spawn(spawn, payload, length, counts) < 0) return -1;
  arguments[counts[0]] = environment[counts[1]] = NULL;
  return 0;
}

// What awaits takes a place among the container's processes, and cannot be given what belongs to one that is known.
static int check_await(const struct spawn *spawn)
{
  if (!spawn->awaits || (!spawn->first && spawn->input && !spawn->terminal && !spawn->files && spawn->hook_count == 0 && spawn->filter == NULL && !container_limited())) return 0;
  return refuse(ENOTSUP, "SPAWN: a process of this kind, or in this container, cannot await its program");
}

static void set_nonblocking(int fd)
{
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int open_terminal(struct spawn *spawn, struct process *process)
{
  unsigned number = 0;
  int unlock = 0;
  char name[16];
  struct stat status;
  // By descriptor and without waiting: the container may have put anything in its place.
  int master = openat(machine.pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (master < 0) master = openat(machine.dev, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return fail("terminal: ptmx");
  process->input = master;
  if (fstat(master, &status) < 0 || status.st_rdev != makedev(5, 2)) return refuse(EIO, "terminal: ptmx is none");
  if (ioctl(master, (ioctl_number)TIOCGPTN, &number) < 0 || ioctl(master, (ioctl_number)TIOCSPTLCK, &unlock) < 0) return fail("terminal");
  snprintf(name, sizeof name, "%u", number);
  int slave = openat(machine.pts, name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return fail("terminal %s", name);
  for (int i = 0; i < 3; i++) spawn->stdio[i] = slave;
  process->output[0] = fcntl(master, F_DUPFD_CLOEXEC, 3);
  if (process->output[0] < 0) return fail("terminal");
  if (spawn->rows != 0 || spawn->columns != 0) window_size(master, spawn->rows, spawn->columns);
  process->terminal = true;
  return 0;
}

static int open_pipes(struct spawn *spawn, struct process *process)
{
  int ends[2];
  if (!spawn->input) {
    if ((spawn->stdio[0] = openat(machine.dev, "null", O_RDWR | O_CLOEXEC)) < 0) return fail("/dev/null");
  } else {
    if (pipe2(ends, O_CLOEXEC) < 0) return fail("pipe");
    spawn->stdio[0] = ends[0];
    process->input = ends[1];
    set_nonblocking(process->input);
  }
  for (int stream = 0; stream < 2; stream++) {
    if (pipe2(ends, O_CLOEXEC) < 0) return fail("pipe");
    spawn->stdio[stream + 1] = ends[1];
    process->output[stream] = ends[0];
    set_nonblocking(process->output[stream]);
  }
  return 0;
}

static int open_namespace(pid_t pid, const char *kind)
{
  char path[48];
  snprintf(path, sizeof path, "%d/ns/%s", (int)pid, kind);
  return openat(machine.proc, path, O_RDONLY | O_CLOEXEC);
}

static pid_t fork_child(const struct spawn *spawn)
{
  if (!machine.namespaces) return fork();
  if (spawn->first) return (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID | CLONE_NEWNS, 0, 0, 0, 0);
  int own = openat(machine.proc, "self/ns/pid", O_RDONLY | O_CLOEXEC);
  pid_t pid = -1;
  int code = ENFILE;
  if (own >= 0) {
    if (setns(pid_namespace, CLONE_NEWPID) == 0) {
      pid = fork();
      code = errno == ENOMEM ? ESRCH : errno; // ENOMEM: the container's own process has just ended
      if (pid != 0 && setns(own, CLONE_NEWPID) < 0) tell("pouch-init: back from the container's pid namespace: %s", strerror(errno));
    } else {
      code = errno;
    }
    if (pid != 0) close(own);
  }
  errno = code;
  return pid;
}

static int start(struct spawn *spawn, struct process *process)
{
  int report[2], order[2] = { -1, -1 };
  if ((spawn->terminal ? open_terminal(spawn, process) : open_pipes(spawn, process)) < 0) return -1;
  if (pipe2(report, O_CLOEXEC) < 0) return fail("pipe");
  process->report = report[0];
  set_nonblocking(report[0]);
  spawn->report = report[1];
  if (spawn->awaits && pipe2(order, O_CLOEXEC) < 0) {
    close(report[1]);
    return fail("pipe");
  }
  process->order = order[1];
  spawn->order = order[0];
  if (order[1] >= 0) set_nonblocking(order[1]);
  spawn->mount_namespace = spawn->first ? -1 : mount_namespace;
  pid_t pid = fork_child(spawn);
  if (pid == 0) run_child(spawn);
  int code = errno;
  close(report[1]);
  if (order[0] >= 0) close(order[0]);
  errno = code;
  if (pid < 0) return fail("fork");
  process->pid = pid;
  if (spawn->first && machine.namespaces) {
    pid_namespace = open_namespace(pid, "pid");
    mount_namespace = open_namespace(pid, "mnt");
  }
  return 0;
}

static void close_given(struct spawn *spawn)
{
  for (int i = 0; i < 3; i++) {
    if (spawn->stdio[i] >= 0 && (i == 0 || spawn->stdio[i] != spawn->stdio[0])) close(spawn->stdio[i]);
  }
}

static void free_strings(char **list, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    free(list[i]);
    list[i] = NULL;
  }
}

int spawn_process(uint32_t id, const unsigned char *payload, size_t length)
{
  struct spawn spawn = { .stdio = { -1, -1, -1 }, .umask = UINT32_MAX, .first = id == 1, .order = -1, .mount_namespace = -1 };
  size_t counts[2] = { 0, 0 };
  if (id == 0) return refuse(EINVAL, "SPAWN: 0 is no process");
  if (!machine.configured && !machine.prepared) return refuse(EINVAL, "SPAWN: the guest is not configured");
  if (process_find(id) != NULL) return refuse(EEXIST, "SPAWN: %u is a process already", id);
  if (id != 1 && (process_find(1) == NULL || process_find(1)->exited)) return refuse(ESRCH, "SPAWN: the container's own process is not running");
  if (id != 1 && machine.namespaces && (pid_namespace < 0 || mount_namespace < 0)) return refuse(ESRCH, "SPAWN: the container's own process is not running");
  if (arguments == NULL && (arguments = calloc(2 * (STRINGS_MAX + 2), sizeof arguments[0])) == NULL) return fail("SPAWN");
  environment = arguments + STRINGS_MAX + 2; // one for HOME and one for the end
  struct process *process = process_new(id);
  if (process == NULL) return refuse(EAGAIN, "SPAWN: %u processes are running", VM_MAX_PROCESSES);
  int done = read_spawn(&spawn, payload, length, counts);
  spawn.arguments = arguments;
  spawn.environment = environment;
  if (done == 0) done = check_await(&spawn);
  if (done == 0) done = start(&spawn, process);
  int code = errno;
  if (done < 0) process_drop(process);
  close_given(&spawn);
  free_strings(arguments, counts[0]);
  free_strings(environment, counts[1]);
  free(spawn.groups);
  free(spawn.cwd);
  errno = code;
  return done;
}

void spawn_first_ended(void)
{
  if (pid_namespace >= 0) close(pid_namespace);
  if (mount_namespace >= 0) close(mount_namespace);
  pid_namespace = mount_namespace = -1;
  // With a pid namespace the kernel has ended all that was in it; this is for the others.
  if (!machine.namespaces) kill(-1, SIGKILL);
}
