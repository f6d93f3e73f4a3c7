package validate

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// booted is a systemd that is process 1 of namespaces.
type booted struct {
	t   *testing.T
	pid string
}

// do runs a command in it, and gives what it prints.
func (b *booted) do(command string) (string, error) {
	out, err := exec.Command("nsenter", "-t", b.pid, "-a", "-r", "-w", "bash", "-c", command).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// until waits for a command to print a text.
func (b *booted) until(command, want string) {
	b.t.Helper()
	var out string
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if out, _ = b.do(command); strings.Contains(out, want) {
			return
		}
	}
	log, _ := b.do("journalctl --no-pager -n 60; systemctl --no-pager list-units --failed")
	b.t.Fatalf("%s: %s, want %s\n%s", command, out, want, log)
}

// boot boots systemd with files over its root, and the programs of this repository.
func boot(t *testing.T, files map[string]string) *booted {
	t.Helper()
	for _, program := range []string{"/lib/systemd/systemd", "/usr/sbin/nats-server", "../../bin/resslt", "../../bin/augmentd", "../../bin/libresslt_torch.so"} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("%s is not there: make setup build; apt-get install systemd", program)
		}
	}
	if out, err := exec.Command("unshare", "-Cmpunif", "true").CombinedOutput(); err != nil {
		t.Skipf("unshare makes no namespaces here, for which it needs root: %v: %s", err, out)
	}
	work := t.TempDir()
	for name, text := range files {
		file := filepath.Join(work, "root", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	c := exec.Command("testdata/boot.sh", work, "../../bin")
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	b := &booted{t: t}
	t.Cleanup(func() {
		// The end of unshare is systemd's, and then the script tidies up.
		for _, child := range childrenOf(c.Process.Pid) {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		<-ended
		if t.Failed() {
			t.Logf("systemd: %s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Skipf("systemd cannot boot here: %v: %s", err, log.Bytes())
		default:
		}
		if b.pid = systemdOf(c.Process.Pid); b.pid != "" {
			if out, _ := b.do("systemctl is-active farm.target"); out == "active" {
				return b
			}
		}
		if time.Since(start) > 2*time.Minute {
			t.Fatal("systemd does not come up")
		}
	}
}

// systemdOf is the process of the systemd that a process has started, among what it has started.
func systemdOf(pid int) string {
	for _, child := range childrenOf(pid) {
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); err == nil && strings.TrimSpace(string(name)) == "systemd" {
			return strconv.Itoa(child)
		}
		if found := systemdOf(child); found != "" {
			return found
		}
	}
	return ""
}

func childrenOf(pid int) (out []int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	for child := range strings.FieldsSeq(string(raw)) {
		if n, err := strconv.Atoi(child); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// farmFiles are the files of docs/farm.md's machines, all of them on one.
func farmFiles(t *testing.T) map[string]string {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if out, err := exec.Command("../../bin/resslt", "keys", "--dir", keys, "--at", "/etc/resslt/keys", "--tenant", "vision").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := map[string]string{
		"etc/resslt/augmentd.env": "NATS_URL=tls://localhost:4222\nNATS_CA=/etc/resslt/ca.pem\n",
		"etc/resslt/first.env":    "NATS_URL=tls://localhost:4222\nNATS_CA=/etc/resslt/ca.pem\nRECIPE=/etc/resslt/first.yaml\nDATA=folder:/srv/photos\n",
		"etc/resslt/first.yaml": "name: first\nclaim: none\nsource: none\nhardware: any\ndata: \"\"\npolicy: small\nimage_size: 32\nbackbone: resnet18\nwidth: 8\nstem: small\n" +
			"projector_hidden: 16\nembedding_dim: 16\nK: 64\nbatch_size: 8\nepochs: 4\nthreads: 1\neval: [none]\nseed: 1\n",
		"etc/systemd/system/farm.target": "[Unit]\nRequires=basic.target\nAfter=basic.target\n",
	}
	for _, name := range []string{"ca.pem", "vision/worker.nk", "vision/trainer.nk"} {
		files["etc/resslt/"+filepath.Base(name)] = string(read(t, filepath.Join(keys, name)))
	}
	for _, name := range []string{"ca.pem", "server.pem", "server.key", "tls.conf", "roles.conf", "accounts.conf"} {
		files["etc/resslt/keys/"+name] = string(read(t, filepath.Join(keys, name)))
	}
	for _, name := range []string{"farm.conf", "limits.conf"} {
		files["etc/resslt/"+name] = string(read(t, "../nats/"+name))
	}
	for _, name := range []string{"augmentd.service", "resslt-train@.service", "nats-server.service.d/resslt.conf"} {
		files["etc/systemd/system/"+name] = string(read(t, "../systemd/"+name))
	}
	// What a machine has for its hardware, and this one has not.
	for _, unit := range []string{"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket", "systemd-modules-load.service", "systemd-sysctl.service", "systemd-remount-fs.service", "systemd-binfmt.service", "systemd-random-seed.service"} {
		files["etc/systemd/system/"+unit+".d/none.conf"] = "[Unit]\nConditionPathExists=/nowhere\n"
	}
	for i := range 40 {
		m := image.NewRGBA(image.Rect(0, 0, 40, 40))
		for p := range 1600 {
			m.Set(p%40, p/40, color.RGBA{uint8(p * i), uint8(p * p), uint8(i * 6), 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprintf("srv/photos/%s/%d.png", []string{"cat", "dog"}[i%2], i)] = b.String()
	}
	return files
}

// TestSystemd has a real systemd run the farm by deploy's units: with keys that only they can read, as
// users of their own, two runs on one machine, and again after each is killed.
func TestSystemd(t *testing.T) {
	if os.Getenv("RESSLT_SYSTEMD") == "" {
		t.Skip("it boots a system, which takes a minute and a quiet machine: make systemd")
	}
	b := boot(t, farmFiles(t))
	must := func(command string) {
		t.Helper()
		if out, err := b.do(command); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	must("chmod 755 /etc/resslt /etc/resslt/keys && chmod 644 /etc/resslt/*.conf /etc/resslt/ca.pem /etc/resslt/first.yaml && chmod -R a+rX /srv && chown -R nats: /etc/resslt/keys")
	must("systemctl start nats-server augmentd")
	b.until("curl -s http://127.0.0.1:9464/readyz", "ok")
	must("cp /etc/resslt/first.env /etc/resslt/second.env && systemctl start resslt-train@first resslt-train@second")
	for _, run := range []string{"first", "second"} {
		b.until("systemctl show -p ActiveState resslt-train@"+run, "ActiveState=inactive")
		out, _ := b.do("systemctl show -p Result,ExecMainStatus resslt-train@" + run + "; cat /var/lib/resslt/" + run + "/summary.json")
		if !strings.Contains(out, "Result=success") || !strings.Contains(out, `"steps": 20`) {
			t.Errorf("run %s: %s", run, out)
		}
	}
	for _, unit := range []string{"augmentd", "nats-server"} {
		if user, _ := b.do("ps -o user= -p $(systemctl show -p MainPID --value " + unit + ")"); user == "root" || user == "" {
			t.Errorf("%s is user %q", unit, user)
		}
		was, _ := b.do("systemctl show -p MainPID --value " + unit)
		must("systemctl kill -s KILL " + unit)
		b.until("p=$(systemctl show -p MainPID --value "+unit+"); [ $p = 0 ] || [ $p = "+was+" ] || echo another", "another")
	}
	b.until("curl -s http://127.0.0.1:9464/readyz", "ok")
	must("systemctl stop augmentd")
	if out, _ := b.do("systemctl show -p Result,ExecMainStatus augmentd"); !strings.Contains(out, "Result=success") {
		t.Errorf("a worker that is stopped: %s", out)
	}
}
