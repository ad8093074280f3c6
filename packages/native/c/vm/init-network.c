// pouch-init: links by ioctl, addresses and routes by route netlink. The few structures are written out here because musl has no kernel headers.
// It never changes what CONFIGURE does not name.
#include "init.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef AF_NETLINK
#define AF_NETLINK 16
#endif
enum { NETLINK_ROUTE = 0, RTM_NEWADDR = 20, RTM_NEWROUTE = 24, RTM_NEWRULE = 32, RTM_DELRULE = 33, NLMSG_ERROR = 2 };
enum { NLM_F_REQUEST = 1, NLM_F_ACK = 4, NLM_F_REPLACE = 0x100, NLM_F_EXCL = 0x200, NLM_F_CREATE = 0x400 };
enum { IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_BROADCAST = 4, RTA_DST = 1, RTA_OIF = 4, RTA_GATEWAY = 5, RTA_PREFSRC = 7, FRA_DST = 1, FRA_IIFNAME = 3, FRA_PRIORITY = 6, FR_ACT_TO_TBL = 1 };
enum { IFA_F_NODAD = 2, RT_TABLE_MAIN = 254, RT_TABLE_LOCAL = 255, RTPROT_BOOT = 3, RT_SCOPE_UNIVERSE = 0, RT_SCOPE_LINK = 253, RTN_UNICAST = 1 };

struct netlink_address { uint16_t family, pad; uint32_t pid, groups; };
struct netlink_header { uint32_t length; uint16_t type, flags; uint32_t sequence, pid; };
struct address_message { uint8_t family, prefix, flags, scope; uint32_t index; };
struct route_message { uint8_t family, destination, source, tos, table, protocol, scope, type; uint32_t flags; };
struct rule_message { uint8_t family, destination, source, tos, table, zero[2], action; uint32_t flags; };

struct request {
  struct netlink_header header;
  unsigned char body[256];
};

static void put_attribute(struct request *request, uint16_t type, const void *bytes, size_t length)
{
  size_t at = request->header.length - sizeof request->header;
  put16(request->body + at, (uint16_t)(4 + length));
  put16(request->body + at + 2, type);
  memcpy(request->body + at + 4, bytes, length);
  request->header.length += (uint32_t)((4 + length + 3) & ~(size_t)3);
}

static int ask_kernel(struct request *request)
{
  struct netlink_address kernel = { AF_NETLINK, 0, 0, 0 };
  struct { struct netlink_header header; int32_t error; unsigned char rest[512]; } answer;
  struct timeval limit = { 5, 0 };
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  request->header.sequence = 1;
  int done = -1;
  if (sendto(fd, request, request->header.length, 0, (struct sockaddr *)&kernel, sizeof kernel) >= 0) {
    ssize_t got = recv(fd, &answer, sizeof answer, 0);
    if (got >= (ssize_t)(sizeof answer.header + sizeof answer.error) && answer.header.type == NLMSG_ERROR) {
      errno = -answer.error;
      done = answer.error == 0 || answer.error == -EEXIST ? 0 : -1;
    }
  }
  int code = errno;
  close(fd);
  errno = code;
  return done;
}

static int with_socket(ioctl_number operation, struct ifreq *request)
{
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int done = ioctl(fd, operation, request);
  int code = errno;
  close(fd);
  errno = code;
  return done;
}

static struct ifreq named(const char *name)
{
  struct ifreq request;
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  return request;
}

static int set_up(const char *name, bool up)
{
  struct ifreq request = named(name);
  if (with_socket(SIOCGIFFLAGS, &request) < 0) return -1;
  request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
  return with_socket(SIOCSIFFLAGS, &request);
}

int loopback_up(void)
{
  return set_up("lo", true) < 0 ? fail("lo up") : 0;
}

static bool read_mac(const char *name, unsigned char mac[6])
{
  struct ifreq request = named(name);
  if (with_socket(SIOCGIFHWADDR, &request) < 0 || request.ifr_hwaddr.sa_family != 1 /* Ethernet */) return false;
  memcpy(mac, request.ifr_hwaddr.sa_data, 6);
  return true;
}

#define LINKS_MAX 64u
static char taken[LINKS_MAX][IFNAMSIZ];
static size_t taken_count;

// The link with this MAC; else the first Ethernet link that no record has had yet.
static bool find_link(const unsigned char mac[6], char name[IFNAMSIZ])
{
  int fd = openat(machine.sys, "class/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) {
    if (fd >= 0) close(fd);
    return false;
  }
  bool exact = false, found = false;
  for (struct dirent *entry; !exact && (entry = readdir(directory)) != NULL;) {
    unsigned char own[6];
    if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ || !read_mac(entry->d_name, own)) continue;
    bool had = false;
    for (size_t i = 0; i < taken_count; i++) had = had || strcmp(taken[i], entry->d_name) == 0;
    if (had) continue;
    exact = memcmp(own, mac, 6) == 0;
    if (!exact && found && strcmp(entry->d_name, name) > 0) continue;
    snprintf(name, IFNAMSIZ, "%s", entry->d_name);
    found = true;
  }
  closedir(directory);
  return found;
}

int setup_link(uint32_t mtu, const unsigned char mac[6], const char *name)
{
  char now[IFNAMSIZ] = "";
  if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strchr(name, '/') != NULL) return refuse(EINVAL, "link %.40s: no name for a link", name);
  if (taken_count == LINKS_MAX) return refuse(E2BIG, "more than %u links", LINKS_MAX);
  for (int64_t until = now_ms() + DEVICE_WAIT_MS; !find_link(mac, now); sleep_ms(5)) {
    if (now_ms() >= until) return refuse(ENODEV, "link %s: no network device appeared within %d s", name, DEVICE_WAIT_MS / 1000);
  }
  struct ifreq request = named(now);
  set_up(now, false); // a link that is up keeps its name
  memcpy(request.ifr_hwaddr.sa_data, mac, 6);
  request.ifr_hwaddr.sa_family = 1;
  unsigned char own[6];
  if ((!read_mac(now, own) || memcmp(own, mac, 6) != 0) && with_socket(SIOCSIFHWADDR, &request) < 0) return fail("link %s: MAC", name);
  if (strcmp(now, name) != 0) {
    request = named(now);
    snprintf(request.ifr_newname, sizeof request.ifr_newname, "%s", name);
    if (with_socket(SIOCSIFNAME, &request) < 0) return fail("link %s: name (was %s)", name, now);
  }
  snprintf(taken[taken_count++], IFNAMSIZ, "%s", name);
  request = named(name);
  request.ifr_mtu = (int)mtu;
  if (mtu != 0 && with_socket(SIOCSIFMTU, &request) < 0) return fail("link %s: MTU %u", name, mtu);
  return set_up(name, true) < 0 ? fail("link %s: up", name) : 0;
}

static int link_index(const char *name, uint32_t *index)
{
  struct ifreq request = named(name);
  if (with_socket(SIOCGIFINDEX, &request) < 0) return fail("link %.40s", name);
  *index = (uint32_t)request.ifr_ifindex;
  return 0;
}

int add_address(uint8_t family, uint8_t prefix, const unsigned char *address, const char *link)
{
  struct request request = { .header = { .type = RTM_NEWADDR, .flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE } };
  struct address_message message = { .family = family == 4 ? AF_INET : AF_INET6, .prefix = prefix, .flags = family == 6 ? IFA_F_NODAD : 0 };
  size_t size = family == 4 ? 4 : 16;
  if (link_index(link, &message.index) < 0) return -1;
  memcpy(request.body, &message, sizeof message);
  request.header.length = sizeof request.header + sizeof message;
  put_attribute(&request, IFA_LOCAL, address, size);
  put_attribute(&request, IFA_ADDRESS, address, size);
  if (family == 4 && prefix < 31) {
    unsigned char broadcast[4];
    for (unsigned i = 0; i < 4; i++) {
      unsigned bits = prefix >= (i + 1) * 8 ? 0 : prefix <= i * 8 ? 0xff : 0xffu >> (prefix - i * 8);
      broadcast[i] = (unsigned char)(address[i] | bits);
    }
    put_attribute(&request, IFA_BROADCAST, broadcast, sizeof broadcast);
  }
  return ask_kernel(&request) < 0 ? fail("address of family %u on %s", family, link) : 0;
}

struct route {
  uint8_t family, prefix, table;
  const unsigned char *destination, *gateway, *source; // source: what the guest's own packets come from, or NULL
  const char *link;
};

static int put_route(const struct route *route)
{
  static const unsigned char none[16];
  struct request request = { .header = { .type = RTM_NEWROUTE, .flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE } };
  size_t size = route->family == 4 ? 4 : 16;
  bool direct = memcmp(route->gateway, none, size) == 0;
  struct route_message message = {
    .family = route->family == 4 ? AF_INET : AF_INET6, .destination = route->prefix, .table = route->table, .protocol = RTPROT_BOOT,
    .scope = direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, .type = RTN_UNICAST,
  };
  uint32_t index = 0;
  if (link_index(route->link, &index) < 0) return -1;
  memcpy(request.body, &message, sizeof message);
  request.header.length = sizeof request.header + sizeof message;
  if (route->prefix > 0) put_attribute(&request, RTA_DST, route->destination, size);
  if (!direct) put_attribute(&request, RTA_GATEWAY, route->gateway, size);
  if (route->source != NULL) put_attribute(&request, RTA_PREFSRC, route->source, size);
  put_attribute(&request, RTA_OIF, &index, sizeof index);
  return ask_kernel(&request) < 0 ? fail("route of family %u by %s", route->family, route->link) : 0;
}

int add_route(uint8_t family, uint8_t prefix, const unsigned char *destination, const unsigned char *gateway, const char *link)
{
  return put_route(&(struct route){ family, prefix, RT_TABLE_MAIN, destination, gateway, NULL, link });
}

// Which table is asked first: for everything, or for what processes here send to one address. The same rule twice is one.
static int put_rule(uint16_t type, uint32_t priority, uint8_t table, const unsigned char *to)
{
  uint16_t flags = type == RTM_NEWRULE ? NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL : NLM_F_REQUEST | NLM_F_ACK;
  struct request request = { .header = { .type = type, .flags = flags } };
  struct rule_message message = { .family = AF_INET, .destination = to == NULL ? 0 : 32, .table = table, .action = FR_ACT_TO_TBL };
  memcpy(request.body, &message, sizeof message);
  request.header.length = sizeof request.header + sizeof message;
  if (to != NULL) {
    put_attribute(&request, FRA_DST, to, 4);
    put_attribute(&request, FRA_IIFNAME, "lo", sizeof "lo");
  }
  put_attribute(&request, FRA_PRIORITY, &priority, sizeof priority);
  return ask_kernel(&request);
}

static int network_setting(const char *name, const char *value)
{
  char path[96];
  snprintf(path, sizeof path, "sys/net/ipv4/%s", name);
  return write_at(machine.proc, path, value, strlen(value)) < 0 ? fail("sysctl %s", path + 4) : 0;
}

int share_address(const unsigned char address[4], const unsigned char own[4], const unsigned char other[4], uint16_t first, uint16_t last, const char *link)
{
  enum { TO_SHARED = 10, LOCAL = 32, SHARED_TABLE = 77 };
  static const unsigned char none[4];
  char ports[16], accept[64];
  snprintf(ports, sizeof ports, "%u %u", first, last);
  snprintf(accept, sizeof accept, "conf/%.20s/accept_local", link);
  if (network_setting("ip_local_port_range", ports) < 0 || add_address(4, 32, own, link) < 0) return -1;
  if (put_route(&(struct route){ 4, 32, RT_TABLE_MAIN, other, none, address, link }) < 0) return -1;
  if (put_route(&(struct route){ 4, 32, SHARED_TABLE, address, other, own, link }) < 0) return -1;
  // The address is asked of the namespace before it is found to be our own; what comes from there is ours.
  if (put_rule(RTM_NEWRULE, LOCAL, RT_TABLE_LOCAL, NULL) < 0 || put_rule(RTM_NEWRULE, TO_SHARED, SHARED_TABLE, address) < 0) return fail("rules of routing");
  if (put_rule(RTM_DELRULE, 0, RT_TABLE_LOCAL, NULL) < 0 && errno != ENOENT) return fail("the first rule of routing");
  return network_setting(accept, "1");
}
