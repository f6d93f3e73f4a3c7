package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// signs are names whose signs mean something in a glob, a URI, JSON or a terminal.
var signs = []string{
	"a[1]", "[", "]", "{a,b}", "{", "}", "x{0..3}", "c*d", "e?f", `g\h`, `\`, `[\]`, "{split}", "$HOME", "%25", "a b", "a:b", "#", "~", "-", "é", "e\u0301", "日本", "😀",
}

// A path that exists is that path, in every format, whatever its signs could mean.
func TestSignsInPaths(t *testing.T) {
	ctx := context.Background()
	tarOf, jpg := tarBytes(t, tarFile{"1.jpg", []byte("one")}), []byte("one")
	rows := parquetBytes(t, []schemas.Sample{{Data: []byte("one")}}, 1)
	at := map[string]string{"disk": t.TempDir()}
	all := map[string][]byte{}
	for _, s := range signs {
		all["f/"+s+"/c/1.jpg"], all["w/"+s+"/train-000.tar"], all["p/"+s+"/train-000.parquet"] = jpg, tarOf, rows
		all["one/w"+s+".tar"], all["one/p"+s+".parquet"] = tarOf, rows
	}
	writeTree(t, at["disk"], all)
	t.Run("bucket", func(t *testing.T) { checkSigns(ctx, t, storetest.Start(t).PutTree("signs", at["disk"])) })
	t.Run("disk", func(t *testing.T) { checkSigns(ctx, t, at["disk"]) })
}

func checkSigns(ctx context.Context, t *testing.T, root string) {
	for _, s := range signs {
		for _, form := range []string{
			"folder:%s/f/%s", "wds:%s/w/%s/train-000.tar", "wds:%s/w/%s/*.tar", "wds:%s/w/%s/train-{000..000}.tar", "wds:%s/w/%s/{split}-*.tar", "wds:%s/w/%s", "wds:%s/one/w%s.tar",
			"parquet:%s/p/%s/train-000.parquet", "parquet:%s/p/%s/*.parquet", "parquet:%s/p/%s", "parquet:%s/one/p%s.parquet",
		} {
			if s == "{split}" && !strings.HasPrefix(form, "folder:") {
				continue // stands for the split's name
			}
			if bare := form == "wds:%s/w/%s" || form == "parquet:%s/p/%s"; bare && store.Remote(root) && strings.ContainsAny(s, "{*?[") {
				continue // a bucket's folder is asked for where its name cannot be a glob
			}
			uri := fmt.Sprintf(form, root, s)
			src, err := Open(ctx, uri, Options{CacheDir: t.TempDir()})
			if err != nil {
				t.Errorf("%s: %v", uri, err)
				continue
			}
			var got schemas.Sample
			if err := src.Read(ctx, 0, &got); err != nil || string(got.Data) != "one" || src.Len() != 1 {
				t.Errorf("%s: %d samples, %q, %v", uri, src.Len(), got.Data, err)
			}
			src.Close()
		}
	}
}

// oddNames are names of files that some system writes.
var oddNames = []string{
	"K\xe4se.jpg", "\xff\xfe.jpg", "a\xed\xa0\x80b.jpg", "half\xc3.jpg", `back\slash.jpg`, `back\xff.jpg`, "line\nbreak.jpg", "tab\t.jpg", "bell\a\x1b[31m.jpg",
	" lead.jpg", "trail .jpg", "-rf.jpg", "a;b&c|d.jpg", "'\".jpg", "A.jpg", "a.jpg", "É.jpg", "E\u0301.jpg", "nul.jpg", strings.Repeat("n", 251) + ".jpg", strings.Repeat("é", 125) + "x.jpg", "dots...jpg", "..jpg.jpg",
}

// Every name is read, leaves as UTF-8, no two leave as one, and the file is found again
// by what left. "..jpg.jpg" is hidden.
func TestOddNames(t *testing.T) {
	ctx := context.Background()
	dir, cache := t.TempDir(), t.TempDir()
	files := map[string][]byte{}
	for i, n := range oddNames {
		files["plain/"+n] = fmt.Append(nil, "plain ", i)
		files["\xe4\n"+`\x41`+"/"+n] = fmt.Append(nil, "odd ", i)
	}
	writeTree(t, dir, files)
	digest := ""
	for range 2 { // the second time by the cached index
		src, err := Open(ctx, "folder:"+dir, Options{CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if want := int64(2 * (len(oddNames) - 1)); src.Len() != want {
			t.Errorf("%d samples, want %d: %s", src.Len(), want, SurveyOf(src))
		}
		if digest == "" {
			digest = src.Manifest().Digest()
		}
		if d := src.Manifest().Digest(); d != digest {
			t.Errorf("digest %s by the cached index, %s before", d, digest)
		}
		checkKeys(t, src, dir)
		b, err := json.Marshal(src.Manifest())
		if err != nil {
			t.Fatal(err)
		}
		var again Manifest
		if err := json.Unmarshal(b, &again); err != nil || again.Digest() != digest {
			t.Errorf("digest %s after JSON, %v", again.Digest(), err)
		}
		if rep, err := Verify(ctx, src, VerifyOptions{}); err != nil || len(rep.Damaged) > 0 {
			t.Errorf("verify: %+v, %v", rep, err)
		}
	}
}

// checkKeys checks that the samples' keys are text, each its own, and name the files.
func checkKeys(t *testing.T, src Source, dir string) {
	t.Helper()
	seen := map[string]bool{}
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(context.Background(), id, &s); err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(s.Key) || seen[s.Key] {
			t.Errorf("key %q", s.Key)
		}
		seen[s.Key] = true
		if b, err := os.ReadFile(filepath.Join(dir, schemas.UnescapeName(s.Key))); err != nil || string(b) != string(s.Data) {
			t.Errorf("key %q: %q of the file, %v", s.Key, b, err)
		}
	}
}

// A pipe, socket or device is never opened, neither while the folder is listed nor in the
// place of a picture that was indexed.
func TestFolderNeverOpensPipes(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	writeTree(t, dir, map[string][]byte{"a/1.jpg": []byte("one"), "a/2.jpg": []byte("two")})
	pipe := func(name string) {
		t.Helper()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pipe("a/pipe.jpg")
	pipe("a/pipe.txt")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	wd := filepath.Join(dir, "a") // a socket's address is short: bind by a short link
	short := filepath.Join(os.TempDir(), fmt.Sprint("resslt-sock-", os.Getpid()))
	if err := os.Symlink(wd, short); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(short)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: short + "/s.jpg"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "a", "zero.jpg")); err != nil {
		t.Fatal(err)
	}
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	same(t, "pipes", keysOf(t, src), []string{"a/1.jpg 0", "a/2.jpg 0"})
	if got := SurveyOf(src).String(); got != `passed over 4: 4 pipes, sockets and devices (first "a/pipe.jpg")` {
		t.Error(got)
	}
	for _, swap := range []func(string) error{
		func(p string) error { return syscall.Mkfifo(p, 0o644) },
		func(p string) error { return os.Symlink("/dev/zero", p) },
		func(p string) error { return os.Mkdir(p, 0o755) },
		func(p string) error { return os.Symlink("2.jpg", p) }, // a loop
	} {
		p := filepath.Join(dir, "a", "2.jpg")
		if err := os.RemoveAll(p); err != nil {
			t.Fatal(err)
		}
		if err := swap(p); err != nil {
			t.Fatal(err)
		}
		var s schemas.Sample
		err := src.Read(context.Background(), 1, &s)
		errstest.Want(t, err, errs.ErrMismatch, "2.jpg")
		checkOneLine(t, err)
	}
}

// Links that lead somewhere are followed, the others are named.
func TestFolderLinkKinds(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"a/1.jpg": []byte("one"), "b/deep/2.jpg": []byte("two")})
	for from, to := range map[string]string{
		"a/up": "..", "a/self": "self", "a/b": "../b", "b/deep/a": "../../a", "c": "a", "d": "nowhere", "e": "e", "a/x.txt": "gone", "b/y.jpg": "../a/1.jpg", "f": "a/1.jpg/x",
	} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	same(t, "links", keysOf(t, src), []string{
		"a/1.jpg 0", "a/b/deep/2.jpg 0", "a/b/y.jpg 0", "b/deep/2.jpg 1", "b/deep/a/1.jpg 1", "b/y.jpg 1", "c/1.jpg 2", "c/b/deep/2.jpg 2", "c/b/y.jpg 2",
	})
	// Right in the folder: d, e and f; deeper, a/self and a/x.txt, each seen by each way to it.
	const want = `passed over 15: 9 links that lead nowhere (first "a/self"); 6 links to a folder above (first "a/b/deep/a")`
	if got := SurveyOf(src).String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, link := range []string{"dead.jpg", "loop.png"} {
		p := filepath.Join(dir, "a", link)
		if err := os.Symlink(map[string]string{"dead.jpg": "gone", "loop.png": "loop.png"}[link], p); err != nil {
			t.Fatal(err)
		}
		_, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
		errstest.Want(t, err, errs.ErrNotFound, link)
		checkOneLine(t, err)
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

// deniedEnv names the data that TestDenied's child process opens, without root's rights.
const deniedEnv = "RESSLT_TEST_DENIED"

// What a user may not read is an error that names it, not a smaller data set.
func TestFolderDenied(t *testing.T) {
	if uri := os.Getenv(deniedEnv); uri != "" {
		src, err := Open(context.Background(), uri, Options{CacheDir: os.Getenv("TMPDIR")})
		if err == nil {
			src.Close()
			t.Fatal("opened")
		}
		fmt.Printf("<<%v>>\n", err)
		return
	}
	for name, c := range map[string]struct{ uri, deny string }{
		"the folder":       {"folder:DIR/plain", "plain"},
		"a class":          {"folder:DIR/plain", "plain/cat"},
		"deeper":           {"folder:DIR/plain", "plain/cat/deep"},
		"a picture":        {"folder:DIR/plain", "plain/dog/1.jpg"},
		"behind a link":    {"folder:DIR/linked", "target"},
		"a split's folder": {"folder:DIR/split", "split/train"},
		"another split":    {"folder:DIR/split", "split/test"},
		"beside splits":    {"folder:DIR/beside", "beside/other"},
		"shards":           {"wds:DIR/w/*.tar", "w"},
		"a shard":          {"wds:DIR/w/*.tar", "w/a.tar"},
		"Parquet files":    {"parquet:DIR/w/*.parquet", "w"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := openTempDir(t)
			writeTree(t, dir, map[string][]byte{
				"plain/cat/deep/1.jpg": []byte("x"), "plain/dog/1.jpg": []byte("y"), "target/1.jpg": []byte("z"), "linked/a/2.jpg": []byte("z"),
				"split/train/a/1.jpg": []byte("x"), "split/test/a/1.jpg": []byte("x"),
				"beside/train/a/1.jpg": []byte("x"), "beside/other/1.jpg": []byte("x"),
				"w/a.tar": tarBytes(t, tarFile{"1.jpg", []byte("one")}),
			})
			if err := os.Symlink("../target", filepath.Join(dir, "linked", "b")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, c.deny), 0); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(filepath.Join(dir, c.deny), 0o755)
			out := asNobody(t, strings.ReplaceAll(c.uri, "DIR", dir))
			want := filepath.Join(dir, c.deny)
			if name == "behind a link" {
				want = filepath.Join(dir, "linked", "b")
			}
			if strings.Count(out, "\n") != 0 || !strings.Contains(out, want) || !strings.Contains(out, "give this user the right to read it") {
				t.Errorf("%q does not name %s", out, want)
			}
		})
	}
}

// openTempDir is a folder for tests that every user may enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "resslt-denied-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asNobody opens the data in a process without root's rights, and gives its error.
func asNobody(t *testing.T, uri string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	work := openTempDir(t)
	c := exec.Command(self, "-test.run", "^TestFolderDenied$")
	c.Dir = work
	c.Env = append(os.Environ(), deniedEnv+"="+uri, "TMPDIR="+work)
	if os.Getuid() == 0 {
		const nobody = 65534
		copied := filepath.Join(work, "test")
		b, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(work, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		c.Path, c.Args[0] = copied, copied
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "<<")
	text, _, ok := strings.Cut(rest, ">>")
	if !ok {
		t.Fatalf("%s", out)
	}
	return text
}
