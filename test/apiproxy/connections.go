package apiproxy

import (
	"net"
	"sync"
)

// connections is a listener that knows the open connections it has accepted
// and can cut them all. While it refuses, its port stays its own.
type connections struct {
	net.Listener

	mu      sync.Mutex
	refused bool
	open    map[net.Conn]struct{}
}

// Accept waits for a connection that is not refused.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if tracked, ok := c.add(conn); ok {
			return tracked, nil
		}
		conn.Close()
	}
}

func (c *connections) add(conn net.Conn) (net.Conn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused {
		return nil, false
	}
	c.open[conn] = struct{}{}
	return &connection{Conn: conn, of: c}, true
}

func (c *connections) refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = true
	for conn := range c.open {
		conn.Close()
	}
	clear(c.open)
}

func (c *connections) accept() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = false
}

func (c *connections) areRefused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// connection takes itself off the list when the server closes it.
type connection struct {
	net.Conn
	of *connections
}

func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c.Conn)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
