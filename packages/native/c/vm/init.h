// pouch-init: what its files share. PID 1 of a guest whose only peer is the host, over the control channel of protocol.h.
// One thread, one poll loop (init.c). Functions return 0, or -1 with errno and a sentence in `failure` (fail, refuse).
// It must not return, parse text from outside without a length, or wait without a bound for what a container's process may hold up.
#ifndef POUCH_INIT_H
#define POUCH_INIT_H
#define _GNU_SOURCE
#include "protocol.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#ifdef __GLIBC__
typedef unsigned long ioctl_number;
#else
typedef int ioctl_number; // musl
#endif

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define DEVICE_WAIT_MS 10000    // for disks, NICs and tags that CONFIGURE names
#define CHANNEL_WAIT_MS 60000   // for the control channel itself: nothing can be said without it
#define FAILURE_MAX 1024u

// init-failure.c
extern char failure[FAILURE_MAX];
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));              // appends the reason of errno, which it keeps
int refuse(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));  // the sentence is whole; errno becomes code
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));             // a line on the console
int64_t now_ms(void);
void sleep_ms(int milliseconds);
ssize_t read_at(int directory, const char *path, char *text, size_t size);            // whole small file, NUL-terminated
int write_at(int directory, const char *path, const void *bytes, size_t length);      // an existing file, in one write

// What is the machine's own, reached by descriptor because init's root is the container's after CONFIGURE.
struct machine {
  int root;         // the initramfs
  int proc, sys, dev;
  int pts;          // the container's devpts
  bool prepared, configured, configuring_failed; // prepared: the root was made by PREPARE
  bool namespaces;  // the kernel can give the container a pid and a mount namespace and later processes can join them (3.8)
  int scratch;      // the writable file system, to be made read-only at the end; -1: none
};
extern struct machine machine;

static inline uint16_t get16(const unsigned char *at) { return (uint16_t)(at[0] | at[1] << 8); }
static inline uint32_t get32(const unsigned char *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }
static inline uint64_t get64(const unsigned char *at) { return (uint64_t)get32(at) | (uint64_t)get32(at + 4) << 32; }
static inline void put16(unsigned char *at, uint16_t value) { at[0] = (unsigned char)value; at[1] = (unsigned char)(value >> 8); }
static inline void put32(unsigned char *at, uint32_t value) { put16(at, (uint16_t)value); put16(at + 2, (uint16_t)(value >> 16)); }
static inline void put64(unsigned char *at, uint64_t value) { put32(at, (uint32_t)value); put32(at + 4, (uint32_t)(value >> 32)); }

// init-record.c: records of a payload, and what is within one.
struct record {
  uint16_t tag;
  const unsigned char *bytes;
  uint32_t length;
};
struct reader {
  const unsigned char *at, *end;
};
int next_record(struct reader *reader, struct record *record);  // 1: one; 0: no more; -1: malformed
int take32(struct reader *reader, uint32_t *value);
int take_bytes(struct reader *reader, void *out, size_t length);
char *take_string(struct reader *reader);        // u32 length + bytes; allocated; NULL when malformed or it holds a NUL
char *take_rest(struct reader *reader);          // what is left as a string; allocated; NULL when it holds a NUL

// init-boot.c
void boot_machine(void);                         // file systems, console, modules
enum channel_kind { CHANNEL_PORT, CHANNEL_CONSOLE, CHANNEL_SERIAL };
int find_channel(enum channel_kind *kind);       // descriptor, after a bounded wait; powers off when there is none
uint32_t kernel_features(void);                  // VM_FEATURE_*
bool kernel_has_filesystem(const char *type);
int wait_for_device(const char *path);           // "/dev/vda", "vda"; made by hand from sysfs where there is no devtmpfs

// init-channel.c
void channel_open(int fd, enum channel_kind kind);
int channel_poll_fd(short *events);              // -1: nothing to wait for
int channel_timeout_ms(void);                    // until channel_serve wants to be called anyway; -1: no need
void channel_serve(void);                        // reads, hands frames to dispatch, writes
bool channel_takes_data(void);                   // room for output of processes
void channel_credited(uint32_t bytes);           // the host has read so many bytes of output
unsigned char *channel_frame(uint8_t op, uint32_t id, size_t room); // payload to fill, then channel_commit; NULL: no room
void channel_commit(size_t length);
void channel_send(uint8_t op, uint32_t id, const void *payload, size_t length);
void channel_error(uint32_t id, uint8_t op);     // VM_ERROR from errno and failure
void channel_flush(void);

// init.c
void dispatch(uint8_t op, uint32_t id, const unsigned char *payload, size_t length);

// init-configure.c
int configure(const unsigned char *payload, size_t length);
int prepare_root(const unsigned char *payload, size_t length);

// init-root.c
struct layer {
  uint8_t kind;
  char *source;
};
int assemble_root(const struct layer *layers, size_t count, const char *scratch); // then init's root is the container's
int mount_tag(const char *tag);                  // descriptor of a virtiofs share's root, mounted once
void close_hidden(void);                         // in a child: what is not the container's to reach
int save_file(const void *bytes, size_t length, uint32_t mode, char *name, size_t size); // on the hidden tmpfs, name relative to machine.root
int release_root(void);                          // at the end: everything written, the scratch read-only
int keep_root(void);                             // the scratch writable again, after a rehearsal of the end

// init-mount.c: all paths are within the container's root, which is init's own by then.
struct mount_entry {
  char *destination, *type, *source, *options, *subpath;
};
int mount_entry(const struct mount_entry *entry);
int bind_hidden(int directory, const char *source, const char *destination, unsigned long flags); // source relative to a descriptor
int mask_path(const char *path);
int protect_path(const char *path);
int make_device(char type, uint32_t major, uint32_t minor, uint32_t mode, uint32_t uid, uint32_t gid, const char *path);
void make_default_devices(void);
int make_directories(const char *path, mode_t mode);   // mkdir -p, through dangling links too
int own_proc(void);                              // in a new pid and mount namespace: /proc anew, and what was masked in it

// init-copy.c
int copy_tree(int from, int to, int depth);      // between directories; depth 0. The second is empty

// init-network.c
int loopback_up(void);
int setup_link(uint32_t mtu, const unsigned char mac[6], const char *name);
int add_address(uint8_t family, uint8_t prefix, const unsigned char *address, const char *link);
int add_route(uint8_t family, uint8_t prefix, const unsigned char *destination, const unsigned char *gateway, const char *link);
// VM_U_SHARED_ADDRESS: `own` and `other` are this guest's end and the namespace's of the link between them.
int share_address(const unsigned char address[4], const unsigned char own[4], const unsigned char other[4], uint16_t first, uint16_t last, const char *link);

// init-process.c: the table of processes and their streams.
struct process {
  uint32_t id;                 // 0: free
  pid_t pid;
  int input, output[2];        // -1: closed; with a terminal input and output[0] are its master
  int report;                  // read end that is empty once exec worked; -1: known
  int order;                   // while it awaits EXECUTE: where it reads that; -1: it does not
  bool terminal, started, exited, failed, close_input;
  uint32_t credit[2];          // bytes of stdout, stderr that the host has room for
  unsigned char *pending;      // stdin not yet taken
  uint32_t pending_start, pending_length, returned;
};
struct process *process_find(uint32_t id);
struct process *process_new(uint32_t id);
void process_drop(struct process *process);      // closes everything, frees the slot
void process_input(uint32_t id, const unsigned char *data, size_t length);
void process_close_input(uint32_t id);
void process_credit(uint32_t id, uint32_t stream, uint32_t bytes);
int process_execute(uint32_t id, const unsigned char *payload, size_t length);
uint32_t process_id_of(pid_t pid);
bool process_awaits(pid_t pid);                  // nothing of the container's yet
size_t processes_alive(void);
void processes_reap(void);                       // the only caller of waitpid
struct pollfd;
size_t processes_watch(struct pollfd *list, size_t room);
void processes_serve(const struct pollfd *list, size_t count);
#define WATCH_MAX (VM_MAX_PROCESSES * 4u)

// init-spawn.c and init-child.c
struct spawn {
  char **arguments, **environment;
  char *cwd;
  uint32_t uid, gid, umask;
  gid_t *groups;
  size_t group_count;
  bool terminal, input, no_new_privs, has_caps, has_oom, files, writing, awaits;
  uint16_t rows, columns;
  uint64_t caps[5];
  int32_t oom;
  struct { uint32_t resource; uint64_t soft, hard; } limits[32];
  size_t limit_count;
  const unsigned char *filter; // sock_filter array
  size_t filter_bytes;
  struct reader hooks[16];     // records VM_S_HOOK
  size_t hook_count;
  const unsigned char *hook_state;
  size_t hook_state_length;
  // For the child:
  bool first;                  // the container's own process
  int stdio[3];                // for a terminal: its slave in all
  int report;
  int order;                   // where it reads what to become; -1: that is here
  int mount_namespace;         // to join; -1: none
};
int spawn_process(uint32_t id, const unsigned char *payload, size_t length);
void spawn_first_ended(void);
int spawn_order(struct spawn *spawn, const unsigned char *payload, size_t length); // EXECUTE's records into one that has awaited them
int window_size(int terminal, uint16_t rows, uint16_t columns);
_Noreturn void run_child(struct spawn *spawn);

// init-hook.c
int run_hooks(const struct spawn *spawn);        // in the child, last of all

// init-stats.c
void reply_ps(uint32_t request);
void reply_stats(uint32_t request);
size_t container_pids(unsigned *pids, size_t most);

// init-power.c
void set_clock(uint64_t nanoseconds, const unsigned char seed[32]);
void power_off_begin(uint32_t milliseconds);
int power_off_timeout_ms(void);                  // -1: not under way
void power_off_step(void);
_Noreturn void power_off_now(void);
int oom_fd(void);                                // -1, or /dev/kmsg to poll
void oom_check(void);                            // tells the host if the kernel has killed for want of memory since the last call
bool oom_killed(pid_t pid);                      // whether it has killed this process, once it was reaped with SIGKILL

// init-limit.c
int update_machine(const unsigned char *payload, size_t length);
int limit_processes(uint64_t count);              // ENOTSUP where the kernel has no such cgroups (before 4.3)
bool container_limited(void);                    // it has a limit of one kind, or had one
void join_group(void);                           // in a child: into the container's cgroups, if it has any
#endif
