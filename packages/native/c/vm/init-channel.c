// pouch-init: frames over the control channel, both ways, and finding the beginning again after a disconnect or nonsense.
// It knows no process and acts on nothing but HELLO; whole valid frames go to dispatch. Memory is two fixed buffers.
#include "init.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define HELLO_PAYLOAD 24u
#define READ_MAX (128u << 10)
#define DATA_UNTIL (192u << 10)    // pending output above which processes are no longer read
#define READ_UNTIL (448u << 10)    // … above which the host's frames are no longer read: each may be answered by up to 256 KiB
#define OUT_MAX (1u << 20)
#define STALL_MS 250               // a frame that does not go on for so long is looked into for a resynchronisation
// QEMU throws away what a virtconsole says while the host's socket is full (a named port and a serial port are held back instead), so a console
// has only so much under way as the socket surely holds, until the host's credit says that it was read or has had time to.
#define CONSOLE_MAX (40u << 10)
#define CONSOLE_FRAMES_MAX 100u
#define CONSOLE_MS 1000
#define HUNG_MS 200                // the host's end is closed: when to look again if no SIGIO comes

static struct {
  int fd;
  enum channel_kind kind;
  bool synced, hung;
  uint32_t unread, unread_frames;  // of a console: output written and not known to be read
  int64_t unread_since;
  int64_t last_read;
  size_t have;
  size_t start, end;               // frames not yet whole at the host: out[start, end), start at a frame's beginning
  size_t sent;                     // bytes of out[start] on that were written
  unsigned char in[VM_HEADER_BYTES + VM_MAX_PAYLOAD];
  unsigned char out[OUT_MAX];
} channel;

// The longest payload of each operation; 0 ops are no operations. HELLO and the fixed ones are checked exactly by dispatch.
static const uint32_t payload_max[] = {
  [VM_HELLO] = HELLO_PAYLOAD, [VM_CONFIGURE] = VM_MAX_PAYLOAD, [VM_SPAWN] = VM_MAX_PAYLOAD, [VM_STDIN] = VM_MAX_DATA, [VM_STDIN_CLOSE] = 64,
  [VM_CREDIT] = 64, [VM_SIGNAL] = 64, [VM_WINSIZE] = 64, [VM_PS] = 64, [VM_STATS] = 64, [VM_POWEROFF] = 64, [VM_PING] = 1024, [VM_CLOCK] = 64,
  [VM_UPDATE] = VM_MAX_DATA, [VM_PREPARE] = VM_MAX_PAYLOAD, [VM_EXECUTE] = VM_MAX_DATA,
};

void channel_open(int fd, enum channel_kind kind)
{
  channel.fd = fd;
  channel.kind = kind;
  channel.last_read = now_ms();
}

int channel_poll_fd(short *events)
{
  size_t pending = channel.end - channel.start;
  if (channel.hung) return -1;
  *events = (short)((pending < READ_UNTIL ? POLLIN : 0) | (channel.synced && pending > channel.sent ? POLLOUT : 0));
  return channel.fd;
}

static bool console_full(void)
{
  return channel.unread > CONSOLE_MAX || channel.unread_frames > CONSOLE_FRAMES_MAX;
}

int channel_timeout_ms(void)
{
  if (channel.hung) return HUNG_MS;
  if (console_full()) return CONSOLE_MS / 4;
  return channel.synced && channel.have > 0 && channel.end - channel.start < READ_UNTIL ? STALL_MS : -1;
}

void channel_credited(uint32_t bytes)
{
  uint32_t before = channel.unread;
  channel.unread -= bytes < before ? bytes : before;
  // Credit does not say for how many frames it is: as for the bytes.
  channel.unread_frames = before == 0 ? 0 : (uint32_t)((uint64_t)channel.unread_frames * channel.unread / before);
  channel.unread_since = now_ms();
}

bool channel_takes_data(void)
{
  if (console_full()) {
    if (now_ms() - channel.unread_since < CONSOLE_MS) return false;
    channel.unread = channel.unread_frames = 0; // the host reads always, even where a client of its does not
  }
  return channel.synced && !channel.hung && channel.end - channel.start < DATA_UNTIL;
}

unsigned char *channel_frame(uint8_t op, uint32_t id, size_t room)
{
  size_t need = VM_HEADER_BYTES + room;
  if (OUT_MAX - channel.end < need && channel.start > 0) {
    memmove(channel.out, channel.out + channel.start, channel.end - channel.start);
    channel.end -= channel.start;
    channel.start = 0;
  }
  if (OUT_MAX - channel.end < need) return NULL;
  unsigned char *header = channel.out + channel.end;
  memset(header, 0, VM_HEADER_BYTES);
  header[4] = op;
  put32(header + 8, id);
  return header + VM_HEADER_BYTES;
}

void channel_commit(size_t length)
{
  uint8_t op = channel.out[channel.end + 4];
  if (channel.kind == CHANNEL_CONSOLE && (op == VM_STDOUT || op == VM_STDERR)) {
    if (channel.unread == 0) channel.unread_since = now_ms();
    channel.unread += (uint32_t)length;
    channel.unread_frames++;
  }
  put32(channel.out + channel.end, (uint32_t)length);
  channel.end += VM_HEADER_BYTES + length;
}

void channel_send(uint8_t op, uint32_t id, const void *payload, size_t length)
{
  unsigned char *out = channel_frame(op, id, length);
  if (out == NULL) { // cannot happen while the bounds above hold; losing a frame silently would be worse than starting over
    tell("pouch-init: the control channel's buffer is full, operation %u lost", op);
    channel.synced = false;
    return;
  }
  if (length > 0) memcpy(out, payload, length);
  channel_commit(length);
}

void channel_error(uint32_t id, uint8_t op)
{
  unsigned char payload[8 + FAILURE_MAX];
  size_t length = strnlen(failure, sizeof failure);
  put32(payload, (uint32_t)errno);
  put32(payload + 4, op);
  memcpy(payload + 8, failure, length);
  channel_send(VM_ERROR, id, payload, 8 + length);
}

void channel_flush(void)
{
  while (channel.synced && channel.start + channel.sent < channel.end) {
    ssize_t done = write(channel.fd, channel.out + channel.start + channel.sent, channel.end - channel.start - channel.sent);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return; // full, or hung up, which reading finds
    channel.sent += (size_t)done;
    // A frame is kept until it is written whole: a new connection gets it from its beginning.
    for (;;) {
      if (channel.sent < VM_HEADER_BYTES) break;
      size_t frame = VM_HEADER_BYTES + get32(channel.out + channel.start);
      if (channel.sent < frame) break;
      channel.start += frame;
      channel.sent -= frame;
    }
    if (channel.start == channel.end) channel.start = channel.end = channel.sent = 0;
  }
}

static void greet(const unsigned char *payload)
{
  unsigned char hello[VM_HEADER_BYTES + HELLO_PAYLOAD + 4] = { HELLO_PAYLOAD + 4, 0, 0, 0, VM_HELLO };
  put32(hello + 12, VM_MAGIC);
  put32(hello + 16, VM_PROTOCOL_VERSION);
  memcpy(hello + 20, payload + 8, 16);
  put32(hello + 36, kernel_features());
  // The answer to an earlier one that nobody took is void (of a template's host, say): whoever asks now did not ask for it.
  while (channel.start < channel.end && channel.out[channel.start + 4] == VM_HELLO) channel.start += VM_HEADER_BYTES + get32(channel.out + channel.start);
  // It goes before everything that waits, and what was half written is written again.
  size_t pending = channel.end - channel.start;
  if (OUT_MAX - pending < sizeof hello) pending = 0;
  memmove(channel.out + sizeof hello, channel.out + channel.start, pending);
  memcpy(channel.out, hello, sizeof hello);
  channel.start = channel.sent = 0;
  channel.end = pending + sizeof hello;
  channel.synced = true;
}

static const unsigned char hello_start[16] = { HELLO_PAYLOAD, 0, 0, 0, VM_HELLO, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x55, 0x43, 0x48 };

// Where a HELLO begins or may begin at the end of what is there.
static size_t find_hello(const unsigned char *bytes, size_t length)
{
  for (size_t at = 0; at < length; at++) {
    size_t left = length - at < sizeof hello_start ? length - at : sizeof hello_start;
    if (memcmp(bytes + at, hello_start, left) == 0) return at;
  }
  return length;
}

static void lose_sync(const char *why, unsigned op, unsigned long length)
{
  refuse(EPROTO, "%s (operation %u, %lu bytes): send HELLO", why, op, length);
  if (op != 0) {
    channel_error(0, (uint8_t)op);
    channel_flush();
  }
  channel.synced = false;
}

// One frame, or the search for one. Returns how many bytes are done with; 0: more are needed.
static size_t take_frame(const unsigned char *at, size_t left)
{
  if (!channel.synced) {
    size_t skip = find_hello(at, left);
    if (skip > 0) return skip;
    if (left < VM_HEADER_BYTES + HELLO_PAYLOAD) return 0;
    greet(at + VM_HEADER_BYTES);
    return VM_HEADER_BYTES + HELLO_PAYLOAD;
  }
  if (left < VM_HEADER_BYTES) return 0;
  uint32_t length = get32(at);
  uint8_t op = at[4];
  uint32_t most = op < COUNT(payload_max) && payload_max[op] > 0 ? payload_max[op] : VM_MAX_DATA;
  if (op == 0 || at[5] != 0 || at[6] != 0 || at[7] != 0 || length > most) {
    lose_sync(op == 0 ? "resynchronising" : "malformed frame", op, length);
    return 1;
  }
  if (left < VM_HEADER_BYTES + length) return 0;
  if (op == VM_HELLO) {
    if (length != HELLO_PAYLOAD || get32(at + 12) != VM_MAGIC) {
      lose_sync("malformed HELLO", op, length);
      return 1;
    }
    greet(at + VM_HEADER_BYTES);
  } else {
    dispatch(op, get32(at + 8), at + VM_HEADER_BYTES, length);
  }
  return VM_HEADER_BYTES + length;
}

static void take_frames(void)
{
  size_t at = 0;
  while (at < channel.have && channel.end - channel.start < READ_UNTIL) {
    size_t done = take_frame(channel.in + at, channel.have - at);
    if (done == 0) break;
    at += done;
  }
  if (at > 0) memmove(channel.in, channel.in + at, channel.have - at);
  channel.have -= at;
}

// A connection that ended within a frame, on a channel that does not tell: 64 zeros and a HELLO are taken for the frame's content.
static void look_for_restart(void)
{
  static const unsigned char zeros[64];
  if (!channel.synced || channel.have < VM_HEADER_BYTES || now_ms() - channel.last_read < STALL_MS) return;
  for (size_t at = 0; at + sizeof zeros + sizeof hello_start <= channel.have; at++) {
    if (memcmp(channel.in + at, zeros, sizeof zeros) != 0 || memcmp(channel.in + at + sizeof zeros, hello_start, sizeof hello_start) != 0) continue;
    channel.have -= at + sizeof zeros;
    memmove(channel.in, channel.in + at + sizeof zeros, channel.have);
    channel.synced = false;
    return take_frames();
  }
}

// While the host's end is closed poll would return at once for ever; the port sends SIGIO when it is opened, which ends the loop's wait.
static void set_hung(bool hung)
{
  channel.hung = hung;
  int flags = fcntl(channel.fd, F_GETFL);
  if (flags < 0 || channel.kind != CHANNEL_PORT) return;
  fcntl(channel.fd, F_SETOWN, getpid());
  fcntl(channel.fd, F_SETFL, hung ? flags | O_ASYNC : flags & ~O_ASYNC);
}

static bool hung_up(void)
{
  struct pollfd one = { channel.fd, POLLIN, 0 };
  return channel.kind == CHANNEL_PORT && poll(&one, 1, 0) > 0 && (one.revents & POLLHUP) != 0 && (one.revents & POLLIN) == 0;
}

void channel_serve(void)
{
  if (channel.hung) {
    if (hung_up()) return;
    set_hung(false);
  }
  if (channel.have < sizeof channel.in && channel.end - channel.start < READ_UNTIL) {
    size_t room = sizeof channel.in - channel.have;
    ssize_t got = read(channel.fd, channel.in + channel.have, room < READ_MAX ? room : READ_MAX);
    if (got > 0) {
      channel.have += (size_t)got;
      channel.last_read = now_ms();
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      // The host has gone. What it had begun to say is void; what we were saying is said again to the next.
      set_hung(true);
      channel.synced = false;
      channel.have = 0;
      if (!hung_up()) set_hung(false); // opened again meanwhile: no signal comes for it
    }
  }
  take_frames();
  look_for_restart();
  channel_flush();
}
