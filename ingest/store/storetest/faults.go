package storetest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
)

// Fault is a way in which a server's answer goes wrong.
type Fault struct {
	Name  string
	Alter func(*Answer)
	// Harmless: the answer still holds the bytes, if it is read with care.
	Harmless bool
	// ETag: only readers of a store that has ETags can tell.
	ETag bool
	// Brief: it takes its time, and is met once.
	Brief bool
	// Believed: of a file that is looked for, nobody can tell.
	Believed bool
}

// fail answers with a status and no bytes.
func (a *Answer) fail(code int, body string) {
	a.Code, a.Body = code, []byte(body)
	a.Header = http.Header{"Content-Type": {"application/xml"}, "Content-Length": {strconv.Itoa(len(body))}}
}

// send replaces the body, with its length.
func (a *Answer) send(body []byte) {
	a.Body = body
	a.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// page is a web page that a captive network or a proxy shows.
const page = "<!doctype html><title>Welcome</title><p>Please log in to use this network.</p>"

func xml(code string) string {
	return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>for the test</Message></Error>"
}

// status is the fault of an answer with that status.
func status(code int, body string) Fault {
	return Fault{Name: fmt.Sprintf("status %d", code), Alter: func(a *Answer) { a.fail(code, body) }}
}

func named(name string, f Fault) Fault {
	f.Name = name
	return f
}

// Faults are all faults of a server's answers.
func Faults() []Fault {
	answers := spans()
	for i := range answers {
		answers[i].Believed = true
	}
	return append(append(statuses(), answers...), transports()...)
}

func statuses() []Fault {
	return []Fault{
		status(http.StatusForbidden, xml("AccessDenied")),
		status(http.StatusUnauthorized, ""),
		status(http.StatusNotFound, xml("NoSuchKey")),
		status(http.StatusGone, ""),
		status(http.StatusPreconditionFailed, xml("PreconditionFailed")),
		status(http.StatusRequestedRangeNotSatisfiable, xml("InvalidRange")),
		status(http.StatusTooManyRequests, ""),
		status(http.StatusInternalServerError, xml("InternalError")),
		status(http.StatusBadGateway, page),
		status(http.StatusServiceUnavailable, xml("SlowDown")),
		status(http.StatusGatewayTimeout, ""),
		named("expired token", status(http.StatusBadRequest, xml("ExpiredToken"))),
		named("retry after a second", Fault{Brief: true, Believed: true, Alter: func(a *Answer) {
			a.fail(http.StatusServiceUnavailable, xml("SlowDown"))
			a.Header.Set("Retry-After", "1")
		}}),
		{Name: "web page", Believed: true, Alter: func(a *Answer) {
			a.fail(http.StatusOK, page)
			a.Header.Set("Content-Type", "text/html")
		}},
		{Name: "empty answer", Believed: true, Alter: func(a *Answer) { a.fail(http.StatusOK, "") }},
		{Name: "other ETag", ETag: true, Believed: true, Alter: func(a *Answer) { a.Header.Set("ETag", `"another"`) }},
	}
}

// spans answer with other bytes than those that were asked for.
func spans() []Fault {
	return []Fault{
		{Name: "range ignored", Harmless: true, Alter: func(a *Answer) {
			a.Code = http.StatusOK
			a.Header.Del("Content-Range")
			a.send(a.Whole)
		}},
		{Name: "range ignored, no length", Alter: func(a *Answer) {
			a.Code, a.Chunked = http.StatusOK, true
			a.Header.Del("Content-Range")
			a.Body = a.Whole
		}},
		{Name: "truncated object", Alter: func(a *Answer) {
			a.Code = http.StatusOK
			a.Header.Del("Content-Range")
			a.send(a.Whole[:len(a.Whole)/2])
		}},
		{Name: "another start", Alter: func(a *Answer) {
			n := min(len(a.Body), len(a.Whole)-1)
			a.Code = http.StatusPartialContent
			a.Header.Set("Content-Range", fmt.Sprintf("bytes 1-%d/%d", n, len(a.Whole)))
			a.send(a.Whole[1 : n+1])
		}},
		{Name: "another size", Alter: func(a *Answer) {
			a.Code = http.StatusPartialContent
			a.Header.Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(a.Body)-1, len(a.Whole)+1))
		}},
		{Name: "no Content-Range", Alter: func(a *Answer) {
			a.Code = http.StatusPartialContent
			a.Header.Del("Content-Range")
			a.send(a.Whole[:len(a.Body)])
		}},
		{Name: "garbled Content-Range", Alter: func(a *Answer) {
			a.Code = http.StatusPartialContent
			a.Header.Set("Content-Range", "bytes 5-2/x")
		}},
		{Name: "length beside Content-Range", Alter: func(a *Answer) {
			a.Code = http.StatusPartialContent
			a.Header.Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(a.Whole)-1, len(a.Whole)))
			a.send(a.Body[:len(a.Body)/2])
		}},
		{Name: "compressed", Alter: func(a *Answer) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(a.Body) // a buffer takes all
			_ = z.Close()
			a.Header.Set("Content-Encoding", "gzip")
			a.send(b.Bytes())
		}},
	}
}

// transports break off, stall or speak no HTTP.
func transports() []Fault {
	return []Fault{
		{Name: "connection reset", Alter: func(a *Answer) { a.Code = 0 }},
		{Name: "body breaks off", Harmless: true, Alter: func(a *Answer) { a.Sent = (len(a.Body) + 1) / 2 }},
		{Name: "body breaks off at once", Alter: func(a *Answer) { a.Sent = 0 }},
		{Name: "body stalls", Alter: func(a *Answer) { a.Sent, a.Stall = 0, true }},
		{Name: "no HTTP", Alter: func(a *Answer) { a.Raw = []byte("garbage\r\n\r\n\x00\x01") }},
	}
}
