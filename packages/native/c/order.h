// What a ready exec is told to execute, over a socket (SOCK_SEQPACKET) that it was given: one message, with stdin, stdout and stderr as descriptors.
// It answers with one byte, and closes the socket once the program runs. Where it cannot, the engine has the runtime make the exec from its
// beginning, which tells why. A socket that ends without an order ends the ready exec.
#pragma once
#include <stdint.h>

#define ORDER_TEXT_MAX 65536u
struct order { uint32_t arguments, variables, length; }; // then `length` bytes: working directory, arguments, variables, each with its NUL
#define ORDER_GOES 'G'    /* the program was found; the end of the socket then says that it runs */
#define ORDER_FAILED 'F'  /* nothing has run, the ready process ends */
