// The control channel between pouch-monitor (host) and pouch-init (guest): frames over one byte stream (virtio-serial, hvc0 or an 8250).
// Both ends include this header; packages/runv/src/protocol/ is the same in TypeScript, packages/runv/PROTOCOL.md draws it.
// All numbers are little-endian. Nothing is trusted: a length beyond its maximum ends the connection, never memory.
//
//   0        4    5     6      8        12
//   | length | op | zero| zero | id     | payload (length bytes)
//   | u32    | u8 | u8  | u16  | u32    |
//
// `id` names a process for its whole life: 0 is the machine itself, 1 the container's own process, others are execs. The host chooses it.
// Payloads of CONFIGURE, SPAWN and the replies are records: | tag u16 | zero u16 | length u32 | bytes |, one after the other, in the order
// drawn at each tag; unknown tags are refused by the guest with ERROR ENOTSUP naming the tag, so that no setting is lost silently.
//
// Resynchronisation: after (re)connecting the host sends 64 zero bytes and then HELLO. A guest that reads a frame of length 0 and op 0 skips
// byte by byte until the 16-byte HELLO header with its magic. The first frame of the guest after that is HELLO with the host's nonce.
#ifndef POUCH_VM_PROTOCOL_H
#define POUCH_VM_PROTOCOL_H
#include <stdint.h>

#define VM_PROTOCOL_VERSION 2u
#define VM_MAGIC 0x48435550u        // "PUCH"
#define VM_HEADER_BYTES 12u
#define VM_MAX_PAYLOAD (1u << 20)   // of CONFIGURE and SPAWN
#define VM_MAX_DATA (32u << 10)     // of STDIN, STDOUT, STDERR
#define VM_INITIAL_CREDIT (256u << 10) // bytes that each direction of each stream may have under way before the first CREDIT
#define VM_MAX_PROCESSES 1024u      // alive at once
#define VM_PORT_NAME "org.pouch.control" // name of the virtio-serial port

enum vm_op {
  // host → guest
  VM_HELLO = 1,        // u32 magic, u32 version, u8 nonce[16]. Answered by VM_HELLO: u32 magic, u32 version, nonce, u32 features (VM_FEATURE_*)
  VM_CONFIGURE = 2,    // records VM_C_*; answered by VM_CONFIGURED (after everything is mounted and up) or VM_ERROR. Once per life of a guest
  VM_SPAWN = 3,        // id, records VM_S_*; answered by VM_SPAWNED or VM_ERROR
  VM_STDIN = 4,        // id, data; spends stdin credit
  VM_STDIN_CLOSE = 5,  // id
  VM_CREDIT = 6,       // id; u32 stream (0 stdin, 1 stdout, 2 stderr), u32 bytes: the receiver of that stream has room for so many more. Both ways
  VM_SIGNAL = 7,       // id; u32 signal, u32 flags (VM_SIGNAL_ALL: every process in the container); SIGKILL of another process than 1: its group. ESRCH is told by VM_ERROR
  VM_WINSIZE = 8,      // id; u16 rows, u16 columns
  VM_PS = 9,           // id 0; u32 request. Answered by VM_PS_REPLY
  VM_STATS = 10,       // id 0; u32 request. Answered by VM_STATS_REPLY
  VM_POWEROFF = 11,    // id 0: end every process (TERM, then KILL after u32 milliseconds), unmount, power off
  VM_PING = 12,        // id 0; u32 request. Answered by VM_PONG with the same bytes
  VM_CLOCK = 13,       // id 0; u64 nanoseconds since 1970, u8 seed[32]: set the clock, stir the seed into the RNG with credit (after a restore or a pause)
  VM_UPDATE = 14,      // id 0; records VM_U_*; answered by VM_UPDATED or VM_ERROR
  VM_PREPARE = 15,     // id 0; records VM_C_*, at most once, before CONFIGURE: the root is made (LAYER, SCRATCH, which CONFIGURE then has not), the
                       // other settings are only rehearsed: applied in a child with namespaces of its own that then ends. Answered by VM_PREPARED
                       // or VM_ERROR. After it process 1 may be spawned, and must have ended before CONFIGURE
  VM_EXECUTE = 16,     // id of a process that is AWAITING; records ARG, ENV, CWD and STDIN of SPAWN, at most VM_MAX_DATA in all: what it becomes. Without
                       // STDIN its input has ended. Answered by VM_SPAWNED or VM_ERROR (of SPAWN)
  // guest → host
  VM_CONFIGURED = 32,
  VM_SPAWNED = 33,     // id; u32 pid in the guest
  VM_STDOUT = 34,      // id, data
  VM_STDERR = 35,      // id, data
  VM_EOF = 36,         // id; u32 stream: nothing comes any more
  VM_EXITED = 37,      // id; u32 status (0–255, 128+N by signal), u32 flags (VM_EXIT_OOM). After it, output of surviving children may still come until VM_EOF
  VM_ERROR = 38,       // id; u32 errno, u32 op that failed, text (UTF-8, ≤ 1,024 bytes) that a person can read: what failed and on what
  VM_PS_REPLY = 39,    // u32 request, then records VM_P_PROCESS
  VM_STATS_REPLY = 40, // u32 request, then records VM_T_*
  VM_PONG = 41,
  VM_OOM = 42,         // id 0: the guest kernel has killed for want of memory
  VM_UPDATED = 43,
  VM_PREPARED = 44,
  VM_RELEASED = 45,    // id 0: powering off, everything is written and nothing more will be: the host may end the machine without waiting
  VM_AWAITING = 46,    // id; u32 pid in the guest: the answer to a SPAWN with VM_S_AWAIT
};

#define VM_SIGNAL_ALL 1u
#define VM_EXIT_OOM 1u
#define VM_FEATURE_OVERLAY 1u
#define VM_FEATURE_EROFS 2u
#define VM_FEATURE_VIRTIOFS 4u
#define VM_FEATURE_SECCOMP 8u
#define VM_FEATURE_MULTIPORT 16u

// CONFIGURE. Strings have no NUL. They are applied in the order of the list below, whatever the order in the payload,
// but DEVICE and MACHINE_ID come before MASKED_PATH and READONLY_PATH, and ROOT_READONLY comes last.
enum vm_configure {
  VM_C_CLOCK = 1,      // as VM_CLOCK
  VM_C_LAYER = 2,      // u8 kind (0 erofs, 1 ext4, 2 virtiofs), u8 zero[3], then device path ("/dev/vda") or virtiofs tag; lowest layer FIRST
  VM_C_SCRATCH = 3,    // device path: ext4, holds upper/ and work/ of the overlay; absent: the last LAYER is the writable root itself (ext4, virtiofs) or a tmpfs upper is used
  VM_C_ROOT_READONLY = 4, // empty
  VM_C_HOSTNAME = 5,
  VM_C_DOMAINNAME = 6,
  VM_C_MOUNT = 7,      // strings each u32 length + bytes: destination, type (proc sysfs tmpfs devpts mqueue cgroup bind virtiofs), source (virtiofs tag; "" else), options ("ro,nosuid,size=64m"), subpath within source
  VM_C_FILE = 8,       // u32 mode, u32 length + path, then content: a file laid over the root (resolv.conf, hosts, hostname); kept on a tmpfs, bind-mounted
  VM_C_SYSCTL = 9,     // u32 length + name ("net.ipv4.ip_forward"), value
  VM_C_LINK = 10,      // u32 mtu, u8 mac[6], u8 zero[2], name ("eth0"): the NIC with this MAC (any, where the MAC was set later by this record) gets this name, MAC and MTU, and is brought up
  VM_C_ADDRESS = 11,   // u8 family (4, 6), u8 prefix length, u8 zero[2], address bytes (4 or 16), then link name
  VM_C_ROUTE = 12,     // u8 family, u8 prefix length, u8 zero[2], destination, gateway (all zero: none), then link name
  VM_C_MASKED_PATH = 13,
  VM_C_READONLY_PATH = 14,
  VM_C_DEVICE = 15,    // u8 type ('c' or 'b'), u8 zero[3], u32 major, u32 minor, u32 mode, u32 uid, u32 gid, path
  VM_C_MACHINE_ID = 16, // 16 bytes
  VM_C_PIDS = 17,      // u64 processes and threads that the container may have at once; ENOTSUP where the guest's kernel has no pids cgroups (before 4.3)
};

// SPAWN.
enum vm_spawn {
  VM_S_ARG = 1,        // one each, in order
  VM_S_ENV = 2,        // one each, "NAME=value"
  VM_S_CWD = 3,
  VM_S_IDS = 4,        // u32 uid, u32 gid, u32 umask (0xffffffff: 0022), then u32 further groups
  VM_S_TTY = 5,        // u16 rows, u16 columns (0: unknown)
  VM_S_STDIN = 6,      // empty: it has a standard input (else /dev/null)
  VM_S_CAPS = 7,       // u64 bounding, effective, inheritable, permitted, ambient
  VM_S_RLIMIT = 8,     // u32 resource (RLIMIT_* of x86_64), u32 zero, u64 soft, u64 hard
  VM_S_NO_NEW_PRIVS = 9, // empty
  VM_S_OOM_SCORE_ADJ = 10, // i32
  VM_S_SECCOMP = 11,   // struct sock_filter array; ENOTSUP where the kernel has none
  VM_S_FILES = 12,     // u8: 0 reads, 1 writes. No program is run: init itself reads or writes the container's files, by the frames of c/files/files.h
  VM_S_HOOK = 13,      // u32 ms that it may take, path, u32 count and arguments (the first is its name), u32 count and environment ("NAME=value"); strings each u32
                       // length + bytes. Run as the process, right before its program, in order; one that fails: ERROR EIO with its reason, and no program
  VM_S_HOOK_STATE = 14, // what every hook is given on its standard input
  VM_S_AWAIT = 15,     // empty: everything is done but executing, which EXECUTE then asks for; ARG, ENV and CWD are passed over; it has STDIN. ENOTSUP with a terminal,
                       // FILES, SECCOMP or hooks, for process 1, and in a container whose processes or memory are limited
};

enum vm_ps { VM_P_PROCESS = 1 };  // u32 pid, u32 parent pid, u32 uid, u32 id (0: not started by SPAWN itself), u64 start time in clock ticks, u64 CPU ticks, u64 resident bytes, command line (NULs as spaces)
enum vm_stats {
  VM_T_MEMORY = 1,     // u64 total, available, cached, used bytes
  VM_T_CPU = 2,        // u64 user, system, idle ns since boot
  VM_T_PIDS = 3,       // u64 processes in the container
  VM_T_LINK = 4,       // u64 rx bytes, rx packets, rx errors, rx dropped, tx ×4, name
  VM_T_BLOCK = 5,      // u64 read bytes, written bytes, reads, writes
};
enum vm_update {
  VM_U_MEMORY = 1,     // u64 bytes: what the container's memory cgroup in the guest may use; ENOTSUP where it has none
  VM_U_PIDS = 2,       // as VM_C_PIDS; all ones: no limit
  VM_U_SHARED_ADDRESS = 3, // IPv4: u8 address[4], own[4], other[4], u16 first port, u16 last port, link name: processes of the host have this
                       // address too. Link-local own is the guest's end and other the host's; what the guest sends to the address goes to other;
                       // the ports are those that it calls out from. May be said again
};
#endif
