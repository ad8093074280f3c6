// The frames between whoever copies files (packages/native/src/files-frames.ts) and pouch-files, over its stdin and stdout, and what its parts share.
// All numbers are little-endian. Nothing is trusted: a length beyond its maximum ends the program, never memory.
//
//   0        4    5        8
//   | length | op | zero   | payload (length bytes)
//   | u32    | u8 | u8[3]  |
//
// An ENTRY tells of one file:
//
//   | mode u32 | uid u32 | gid u32 | links u32 | major u32 | minor u32 | mtime ns u32 | zero u32 | mtime s i64 | size u64 | device u64 | inode u64
//   | path length u16 | link length u16 | capability length u16 | zero u16 | path | link | capability |
//
// `mode` with the file's type, as stat(2) has it; `path` relative to what was asked for, empty for that itself; `link` where a symbolic link leads, or,
// from the agent, what a hard link is a further name of; `capability` the attribute security.capability.
#ifndef POUCH_FILES_H
#define POUCH_FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define FILES_MAX_PAYLOAD (64u << 10) // of every frame
#define FILES_PATH_MAX 4095u          // bytes of a path
#define FILES_DEPTH_MAX 1024u         // directories in each other
#define FILES_CAPABILITY_MAX 64u

enum files_op {
	// agent → helper
	FILES_GO = 1,      // after OPENED: enter what was opened. From here on nothing of the host can be reached
	FILES_STAT = 2,    // path. Answered by FOUND
	FILES_READ = 3,    // path. Answered by FOUND, then ENTRY, each regular file's followed by DATA of its size in all, then END
	FILES_EXTRACT = 4, // u32 flags (FILES_NO_OVERWRITE, FILES_OWNED), u32 uid, u32 gid, path. Answered by READY; ENTRY, DATA and TIMES follow, then END, answered by END
	FILES_ENTRY = 5,   // both ways
	FILES_DATA = 6,    // both ways: bytes of the regular file told last
	FILES_TIMES = 7,   // an ENTRY of which only path and mtime count: a directory that nothing is written to any more
	FILES_END = 8,     // both ways
	// helper → agent
	FILES_OPENED = 16,
	FILES_FOUND = 17,  // an ENTRY of the path itself; `path` is empty, `link` where a symbolic link ends in the end
	FILES_READY = 18,
	FILES_ERROR = 19,  // u32 errno, text: what failed. The last frame
};

#define FILES_NO_OVERWRITE 1u // a directory is not replaced by something else, nor the other way round
#define FILES_OWNED 2u        // everything is uid's and gid's, whatever the entries say
#define FILES_HARD_LINK 0170000u // as type in `mode`: a further name of `link`

struct entry {
	uint32_t mode, uid, gid, links, major, minor, mtime_ns;
	int64_t mtime;
	uint64_t size, device, inode;
	char path[FILES_PATH_MAX + 1], link[FILES_PATH_MAX + 1];
	unsigned char capability[FILES_CAPABILITY_MAX];
	size_t capability_length;
};

// files-frame.c
uint32_t get32(const unsigned char *bytes);
bool take_frame(uint8_t *op, const unsigned char **payload, size_t *length); // false: the input has ended between two frames
void send_frame(uint8_t op, const void *payload, size_t length);
void send_entry(uint8_t op, const struct entry *entry);
void read_entry(struct entry *entry, const unsigned char *payload, size_t length);
void take_path(char path[FILES_PATH_MAX + 1], const unsigned char *bytes, size_t length);
_Noreturn void give_up(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void (*before_giving_up)(void);

// files-enter.c
void open_process(const char *pid);
void open_mounts(char **arguments);
void enter(void);

// files-rights.c
void drop_rights(bool writing);

// files-serve.c
void serve_files(bool writing, void (*enter_root)(void));

// files-path.c: paths are those of the root that was entered, relative ones are below `directory`
int open_path(int directory, const char *path, uint64_t flags);
int open_parent(int directory, const char *path, const char **name);
void final_target(const char *path, char target[FILES_PATH_MAX + 1]);

// files-read.c
void stat_path(const char *path);
void read_path(const char *path);

// files-write.c
void extract(const char *path, uint32_t flags, uint32_t uid, uint32_t gid);
extern void (*once_written)(void); // before END is said of what was written; NULL: nothing

// files-remove.c
int remove_tree(int directory, const char *name, unsigned depth);
#endif
