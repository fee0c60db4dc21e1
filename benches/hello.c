/* The least that a CGI program can be: it reads its body and says hello. What otapress-cgi is measured against. */
#include <unistd.h>

int main(void) {
    static const char hello[] =
        "Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"upgrade\":0}";
    char body[4096];
    while (read(0, body, sizeof body) > 0) {
    }
    return write(1, hello, sizeof hello - 1) == sizeof hello - 1 ? 0 : 1;
}
