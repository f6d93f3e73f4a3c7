package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "parquetlib:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: parquetlib matrix|cost|safety ARG...")
	}
	switch args[0] {
	case "matrix":
		return matrix(args[1])
	case "cost", "safety":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		if args[0] == "cost" {
			return costs(n, args[2:])
		}
		return safety(n, args[2:])
	case "one-digest", "one-scan", "one-rows", "one-mutation": // in a process of its own
		return one(args[0], args[1:])
	}
	return fmt.Errorf("%q is no verb", args[0])
}

func find(name string) (library, error) {
	for _, l := range append(controls, libraries...) {
		if l.name == name {
			return l, nil
		}
	}
	return library{}, fmt.Errorf("no library %q", name)
}

func one(verb string, args []string) error {
	l, err := find(args[0])
	if err != nil {
		return err
	}
	switch verb {
	case "one-digest":
		b, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		rows, sum, err := digest(l, b, args[2])
		fmt.Println(rows, sum)
		return err
	case "one-scan":
		return scanCost(l, args[1])
	case "one-rows":
		return rowCost(l, args[1])
	}
	seed, err := strconv.ParseUint(args[3], 10, 64)
	if err != nil {
		return err
	}
	return mutation(l, args[1], args[2], seed)
}

// digest is the number of rows and the SHA-256 of all values, as in prepare.py.
func digest(l library, b []byte, column string) (rows int, sum string, err error) {
	r, err := l.open(bytes.NewReader(b), int64(len(b)), column)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	err = r.scan(func(v []byte) {
		rows++
		if v == nil {
			h.Write([]byte("n"))
			return
		}
		h.Write(binary.LittleEndian.AppendUint64([]byte("v"), uint64(len(v))))
		h.Write(v)
	})
	return rows, fmt.Sprintf("%x", h.Sum(nil)), err
}

// matrix prints how many files each library reads as pyarrow reads them.
func matrix(truth string) error {
	f, err := os.Open(truth)
	if err != nil {
		return err
	}
	defer f.Close()
	read := map[string]int{}
	files := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		var t struct {
			File, Column, SHA256 string
			Rows                 int
		}
		if err := json.Unmarshal(s.Bytes(), &t); err != nil {
			return err
		}
		if t.SHA256 == "" {
			continue
		}
		files++
		for _, l := range libraries {
			cmd := exec.Command(os.Args[0], "one-digest", l.name, t.File, t.Column)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr // warnings, too
			out, err := cmd.Output()
			if err == nil && strings.TrimSpace(string(out)) == fmt.Sprint(t.Rows, " ", t.SHA256) {
				read[l.name]++
				continue
			}
			message, _, _ := strings.Cut(stderr.String(), "\n")
			fmt.Printf("%s: %s (%s): %.200s, %v; %s, not %d rows\n", l.name, t.File, t.Column, message, err, strings.TrimSpace(string(out)), t.Rows)
		}
	}
	for _, l := range libraries {
		fmt.Printf("%s: %d of %d files\n", l.name, read[l.name], files)
	}
	return nil
}
