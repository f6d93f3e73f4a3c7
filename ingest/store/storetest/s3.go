package storetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/schemas/freeport"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Keys of the server's one user, and the one bucket.
const (
	access     = "resslt-test"
	Secret     = "resslt-test-secret"
	bucketName = "data"
)

// S3 is a running server with a proxy before it.
type S3 struct {
	Injector
	URL string // of the proxy, for AWS_ENDPOINT_URL

	t      testing.TB
	folder string
	direct string // of the server
	bin    string
	client *s3.Client

	mu  sync.Mutex
	cmd *exec.Cmd // guarded by mu; nil while it is killed

	fault atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler)]
	gets  atomic.Int64
}

// Start starts a server, or skips the test where versitygw is not installed. The
// environment of the test is set so that s3:// names go to it.
func Start(t *testing.T) *S3 {
	t.Helper()
	bin := find()
	if bin == "" {
		t.Skip("no S3 server: run `make bin/versitygw`, which go-installs it")
	}
	s := &S3{t: t, folder: t.TempDir(), bin: bin, direct: free(t)}
	if err := os.Mkdir(filepath.Join(s.folder, bucketName), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	t.Cleanup(s.Kill)

	to, err := url.Parse("http://" + s.direct)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // which the signature covers
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
		ErrorLog:     nil,
	}
	s.whole = func(r *http.Request) []byte { return fileOf(s.folder, r.URL.Path) }
	injected := s.wrap(proxy)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "" {
			s.gets.Add(1)
		}
		if f := s.fault.Load(); f != nil {
			(*f)(w, r, proxy)
			return
		}
		injected.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.URL = front.URL
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": Secret, "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	s.client = s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + s.direct), UsePathStyle: true, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(access, Secret, ""),
	})
	return s
}

// find looks for the server beside the repository's other programs, then in PATH.
func find() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		bin := filepath.Join(dir, "bin", "versitygw")
		if _, err := os.Stat(bin); err == nil {
			return bin
		}
	}
	bin, err := exec.LookPath("versitygw")
	if err != nil {
		return ""
	}
	return bin
}

func free(t testing.TB) string {
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Restart starts the server on the same folder and address.
func (s *S3) Restart() {
	s.t.Helper()
	cmd := exec.Command(s.bin, "--quiet", "--access", access, "--secret", Secret, "--port", s.direct, "posix", s.folder)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", s.direct)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.Kill()
			s.t.Fatalf("versitygw does not listen on %s: %s", s.direct, out.String())
		}
	}
}

// Kill kills the server.
func (s *S3) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill() // it may have ended by itself
	s.cmd.Wait()         // the error says "killed"
	s.cmd = nil
}

// Fault makes every request go through f, which may pass it on; nil ends that.
func (s *S3) Fault(f func(w http.ResponseWriter, r *http.Request, pass http.Handler)) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// Gets is the number of objects asked for so far.
func (s *S3) Gets() int64 { return s.gets.Load() }

// Put stores an object and gives its name.
func (s *S3) Put(key string, data []byte) string {
	s.t.Helper()
	_, err := s.client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String(bucketName), Key: aws.String(key), Body: bytes.NewReader(data),
	})
	if err != nil {
		s.t.Fatalf("put %s: %v", key, err)
	}
	return fmt.Sprintf("s3://%s/%s", bucketName, key)
}

// PutTree stores all files below dir under the prefix.
func (s *S3) PutTree(prefix, dir string) string {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s.Put(prefix+"/"+filepath.ToSlash(rel), b)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("s3://%s/%s", bucketName, prefix)
}
