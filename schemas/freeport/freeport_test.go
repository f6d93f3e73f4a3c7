package freeport

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// No address is in the range from which the system gives outgoing connections their
// ports, and a server can listen on each.
func TestAddr(t *testing.T) {
	low := 32768
	if raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if low, err = strconv.Atoi(strings.Fields(string(raw))[0]); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		addr, err := Addr()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; port >= low {
			t.Errorf("%s can be taken by an outgoing connection: those begin at %d", addr, low)
		}
	}
}
