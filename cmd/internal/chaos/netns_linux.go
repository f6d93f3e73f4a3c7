package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"resslt/schemas/errs"
)

// netns is a network namespace that one cable joins to this one's.
type netns struct {
	name  string
	inner string // the cable's end in the namespace
	host  string // this side's address
}

// newNetns makes a namespace of the driver's own. Errors wrap errs.ErrUnsupported if this
// process may not.
func newNetns() (*netns, error) {
	id := os.Getpid()
	// A network of four addresses in the block that RFC 2544 keeps for tests.
	net := fmt.Sprintf("198.18.%d.%%d", id>>6&255)
	host, guest := fmt.Sprintf(net, id&63*4+1), fmt.Sprintf(net, id&63*4+2)
	n := &netns{name: fmt.Sprintf("resslt-chaos-%d", id), inner: fmt.Sprintf("rc%dn", id), host: host}
	outer := fmt.Sprintf("rc%dh", id)
	if err := ip("netns", "add", n.name); err != nil {
		return nil, errs.New("make network namespace", n.name, "run it as root, with iproute2", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	for _, args := range [][]string{
		{"link", "add", outer, "type", "veth", "peer", "name", n.inner, "netns", n.name},
		{"addr", "add", host + "/30", "dev", outer},
		{"link", "set", outer, "up"},
		{"-n", n.name, "addr", "add", guest + "/30", "dev", n.inner},
		{"-n", n.name, "link", "set", n.inner, "up"},
		{"-n", n.name, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			_ = n.close() // the first failure counts
			return nil, errs.New("make network namespace", n.name, "run it as root", errs.BecauseErr(errs.ErrUnsupported, err))
		}
	}
	return n, nil
}

// inside is a command line that runs in the namespace, under the same process id.
func (n *netns) inside(program string, args ...string) (string, []string) {
	return "ip", append([]string{"netns", "exec", n.name, program}, args...)
}

// set pulls the cable out, or puts it in again.
func (n *netns) set(up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	if err := ip("-n", n.name, "link", "set", n.inner, state); err != nil {
		return errs.New("set link "+state, n.name, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// close removes the namespace, and with it the cable.
func (n *netns) close() error {
	if err := ip("netns", "del", n.name); err != nil {
		return errs.New("remove network namespace", n.name, "ip netns del "+n.name, errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
