package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// heartbeat is how often a client without news is written to: a connection that has gone is
// noticed by nothing else.
const heartbeat = 15 * time.Second

// update is what an event says: the order of all parts, and those that the client lacks.
type update struct {
	Order []string          `json:"order"`
	Parts map[string]string `json:"parts"`
}

// stream sends a view's parts to one client, as server-sent events, until it goes or the server
// closes.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, name string, of func() view) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		http.Error(w, fmt.Sprintf("%d pages are open already: close some", mostStreams), http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // of a proxy
	c := &client{w: w, to: http.NewResponseController(w), has: map[string]uint64{}}
	// The server's limit is for requests; this one is read, and the next comes when this has ended.
	if c.to.SetReadDeadline(time.Time{}) != nil || c.write("retry: 2000\n\n") != nil {
		return
	}
	f := s.feeds.join(name, of)
	if f == nil {
		return
	}
	defer s.feeds.leave(name, f)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		parts, newer := f.newest()
		if c.send(parts) != nil {
			return
		}
		select {
		case <-newer:
		case <-f.ended:
			if parts, _ := f.newest(); c.send(parts) == nil {
				_ = c.write("event: end\ndata: {}\n\n") // it may have gone
			}
			return
		case <-beat.C:
			if c.write(": alive\n\n") != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// client is who looks. One goroutine uses it.
type client struct {
	w   http.ResponseWriter
	to  *http.ResponseController
	has map[string]uint64 // sums of the parts that it was sent
}

// send sends what the client lacks of the parts.
func (c *client) send(parts []part) error {
	u, has := update{Parts: map[string]string{}}, map[string]uint64{}
	for _, p := range parts {
		u.Order = append(u.Order, p.id)
		if was, ok := c.has[p.id]; !ok || was != p.sum {
			u.Parts[p.id] = string(p.html)
		}
		has[p.id] = p.sum
	}
	if len(u.Parts) == 0 && len(has) == len(c.has) {
		return nil
	}
	raw, err := json.Marshal(u)
	if err != nil {
		return err
	}
	c.has = has
	return c.write("data: " + string(raw) + "\n\n")
}

// write writes an event, within writeTimeout.
func (c *client) write(text string) error {
	if err := c.to.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := c.w.Write([]byte(text)); err != nil {
		return err
	}
	return c.to.Flush()
}
