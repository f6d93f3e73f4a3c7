// Package browsertest drives a real Chromium for tests, by its DevTools protocol over a pipe:
//
//	b := browsertest.Start(t)
//	p := b.Open(t, url, browsertest.Screen{Width: 380, Dark: true})
//	p.Wait(t, "document.querySelectorAll('.chart').length > 3")
//	p.Press(t, "Tab")
//	for _, line := range p.Console() { … }
//
// It knows the few calls that the tests need; a driver for all of the protocol would be the
// largest dependency of the module.
package browsertest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds how long a test waits for anything of a page.
const patience = time.Minute

// Browser is a Chromium without a window. It ends with the test.
type Browser struct {
	to io.Writer

	mu    sync.Mutex
	last  int
	calls map[int]chan answer // waiting; guarded by mu
	pages map[string]*Page    // by session; guarded by mu
	gone  bool                // its pipe is closed; guarded by mu
}

// answer is what comes back for a call, or of itself.
type answer struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Result  json.RawMessage `json:"result"`
	Params  json.RawMessage `json:"params"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Start starts a browser. It skips the test where Chromium is not installed.
func Start(t *testing.T) *Browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (package chromium): no page was opened")
	}
	ours, toIt, err := pipes()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
	var said bytes.Buffer
	c.Stderr = &said
	c.ExtraFiles = toIt // 3: what it reads, 4: what it writes
	c.WaitDelay = 10 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range toIt {
		f.Close()
	}
	b := &Browser{to: ours[0], calls: map[int]chan answer{}, pages: map[string]*Page{}}
	read := make(chan struct{})
	go func() { defer close(read); b.read(ours[1]) }()
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
		<-read
		ours[0].Close()
		ours[1].Close()
		if t.Failed() {
			for line := range strings.Lines(said.String()) {
				if !strings.Contains(line, "dbus") { // which it looks for, and does without
					t.Logf("chromium: %.300s", line)
				}
			}
		}
	})
	return b
}

// pipes are our ends, to write and to read, and the browser's.
func pipes() (ours, its []*os.File, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	back, forth, err := os.Pipe()
	return []*os.File{write, back}, []*os.File{read, forth}, err
}

// read gives every message to who waits for it.
func (b *Browser) read(from io.Reader) {
	in := bufio.NewReaderSize(from, 1<<20)
	for {
		raw, err := in.ReadBytes(0)
		b.mu.Lock()
		if err != nil {
			b.gone = true
			for id, c := range b.calls {
				delete(b.calls, id)
				close(c)
			}
			b.mu.Unlock()
			return
		}
		var a answer
		if json.Unmarshal(raw[:len(raw)-1], &a) == nil {
			if c := b.calls[a.ID]; c != nil {
				delete(b.calls, a.ID)
				c <- a
			} else if p := b.pages[a.Session]; p != nil {
				p.happened(&a)
			}
		}
		b.mu.Unlock()
	}
}

// call calls a method of the protocol.
func (b *Browser) call(t *testing.T, session, method string, params, into any) {
	t.Helper()
	b.mu.Lock()
	b.last++
	id, c := b.last, make(chan answer, 1)
	if !b.gone {
		b.calls[id] = c
	} else {
		close(c)
	}
	b.mu.Unlock()
	raw, err := json.Marshal(map[string]any{"id": id, "sessionId": session, "method": method, "params": params})
	if session == "" {
		raw, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.to.Write(append(raw, 0)); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	select {
	case a, ok := <-c:
		switch {
		case !ok:
			t.Fatalf("%s: chromium has ended", method)
		case a.Error != nil:
			t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if into != nil {
			if err := json.Unmarshal(a.Result, into); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(patience):
		t.Fatalf("%s: no answer", method)
	}
}

// Screen is what a page is looked at on.
type Screen struct {
	Width, Height int // 0: 900 high
	Dark          bool
}

// Page is a page that is open.
type Page struct {
	b       *Browser
	session string
	target  string

	mu      sync.Mutex
	console []string // guarded by mu
}

// params are the arguments of a call.
type params = map[string]any

// Open opens a page.
func (b *Browser) Open(t *testing.T, url string, s Screen) *Page {
	t.Helper()
	p := &Page{b: b}
	var made struct{ TargetID, SessionID string }
	b.call(t, "", "Target.createTarget", params{"url": "about:blank", "newWindow": true}, &made)
	p.target = made.TargetID
	b.call(t, "", "Target.attachToTarget", params{"targetId": p.target, "flatten": true}, &made)
	p.session = made.SessionID
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(t, domain+".enable", params{}, nil)
	}
	p.call(t, "Emulation.setFocusEmulationEnabled", params{"enabled": true}, nil) // of several pages, each is looked at
	p.Resize(t, s)
	p.call(t, "Page.navigate", params{"url": url}, nil)
	p.Wait(t, `document.readyState === "complete" && location.href !== "about:blank"`)
	return p
}

func (p *Page) call(t *testing.T, method string, of params, into any) {
	t.Helper()
	p.b.call(t, p.session, method, of, into)
}

// Resize has the page be looked at on another screen.
func (p *Page) Resize(t *testing.T, s Screen) {
	t.Helper()
	if s.Height == 0 {
		s.Height = 900
	}
	scheme := "light"
	if s.Dark {
		scheme = "dark"
	}
	p.call(t, "Emulation.setDeviceMetricsOverride", params{"width": s.Width, "height": s.Height, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.call(t, "Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Offline cuts the page's connections, or allows them again.
func (p *Page) Offline(t *testing.T, off bool) {
	t.Helper()
	p.call(t, "Network.emulateNetworkConditions", params{"offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}, nil)
}

// Eval evaluates an expression, of a promise what it becomes.
func (p *Page) Eval(t *testing.T, expression string, into any) {
	t.Helper()
	var out struct {
		Result struct {
			Value       json.RawMessage
			Description string
		}
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	p.call(t, "Runtime.evaluate", params{"expression": expression, "awaitPromise": true, "returnByValue": true}, &out)
	if e := out.ExceptionDetails; e != nil {
		t.Fatalf("%.200s: %s %s", expression, e.Text, e.Exception.Description)
	}
	if into != nil {
		if err := json.Unmarshal(out.Result.Value, into); err != nil {
			t.Fatalf("%.200s is %s: %v", expression, out.Result.Value, err)
		}
	}
}

// Wait waits until an expression is true.
func (p *Page) Wait(t *testing.T, expression string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var is bool
		p.Eval(t, "Boolean("+expression+")", &is)
		if is {
			return
		}
		if time.Now().After(deadline) {
			var text string
			p.Eval(t, "document.body.innerText", &text)
			t.Fatalf("never: %s\nconsole: %s\npage: %.3000s", expression, strings.Join(p.Console(), "\n"), text)
		}
	}
}

// keys are those that Press knows, by their codes.
var keys = map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}

// Press presses a key.
func (p *Page) Press(t *testing.T, key string) {
	t.Helper()
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	of := params{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": keys[key], "text": text}
	p.call(t, "Input.dispatchKeyEvent", of, nil)
	of["type"], of["text"] = "keyUp", ""
	p.call(t, "Input.dispatchKeyEvent", of, nil)
}

// Screenshot writes all of the page as PNG.
func (p *Page) Screenshot(t *testing.T, path string) {
	t.Helper()
	var out struct{ Data string }
	p.call(t, "Page.captureScreenshot", params{"format": "png", "captureBeyondViewport": true}, &out)
	raw, err := base64.StdEncoding.DecodeString(out.Data)
	if err == nil {
		err = os.WriteFile(path, raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Nameless are what assistive technology can reach on the page and has no name for, by role, from
// the browser's own accessibility tree.
func (p *Page) Nameless(t *testing.T) (out []string) {
	t.Helper()
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name value
			Properties []struct {
				Name  string
				Value value
			}
		}
	}
	p.call(t, "Accessibility.getFullAXTree", params{}, &tree)
	if len(tree.Nodes) == 0 {
		t.Fatal("the page has no accessibility tree")
	}
	named := map[string]bool{
		"button": true, "link": true, "checkbox": true, "slider": true, "textbox": true, "image": true, "img": true, "progressbar": true,
		"progressIndicator": true, "region": true, "heading": true,
	}
	for _, n := range tree.Nodes {
		role := fmt.Sprint(n.Role.Value)
		if name, _ := n.Name.Value.(string); n.Ignored || strings.TrimSpace(name) != "" {
			continue
		}
		focusable := false
		for _, q := range n.Properties {
			focusable = focusable || q.Name == "focusable" && q.Value.Value == true
		}
		if named[role] || focusable && role != "RootWebArea" {
			out = append(out, role)
		}
	}
	return out
}

// happened notes what the page prints, what it throws, and what the browser says of it.
func (p *Page) happened(a *answer) {
	var e struct {
		Type             string
		Args             []struct{ Value, Description any }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Entry struct{ Level, Text, URL string }
	}
	if json.Unmarshal(a.Params, &e) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch a.Method {
	case "Runtime.consoleAPICalled":
		p.console = append(p.console, fmt.Sprint(e.Type, " ", e.Args))
	case "Runtime.exceptionThrown":
		p.console = append(p.console, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case "Log.entryAdded":
		p.console = append(p.console, e.Entry.Level+" "+e.Entry.Text+" "+e.Entry.URL)
	}
}

// Console is what was printed on the page's console so far, by the page or by the browser.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.console...)
}

// Close closes the page.
func (p *Page) Close(t *testing.T) {
	t.Helper()
	p.b.call(t, "", "Target.closeTarget", params{"targetId": p.target}, nil)
}
