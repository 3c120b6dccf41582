package main

import (
	"fmt"
	"strings"
)

// setup is a way to run NATS, and how it loses its power.
type setup struct {
	name    string
	servers int
	// sync is the server's sync_interval. In quotes: nats-server reads 2m without
	// them as two million seconds.
	sync string
	// cut is how many of the servers lose power, all at the same moment.
	cut int
	// safe says that nothing acknowledged may be lost.
	safe bool
}

// setups returns all of them, in the order in which they are measured.
func setups() []setup {
	return []setup{
		{name: "single-default", servers: 1, sync: "2m", cut: 1},
		{name: "single-1s", servers: 1, sync: "1s", cut: 1},
		{name: "single-always", servers: 1, sync: "always", cut: 1, safe: true},
		{name: "one-of-three-default", servers: 3, sync: "2m", cut: 1, safe: true},
		{name: "all-of-three-default", servers: 3, sync: "2m", cut: 3},
		{name: "all-of-three-always", servers: 3, sync: "always", cut: 3, safe: true},
	}
}

func setupNames() []string {
	var names []string
	for _, s := range setups() {
		names = append(names, s.name)
	}
	return names
}

const (
	// clientPort and routePort are where a server listens inside its machine.
	clientPort = 4222
	routePort  = 6222
	// hostFromGuest is this computer's loopback interface as qemu's user network
	// shows it to a machine.
	hostFromGuest = "10.0.2.2"
)

// config is the configuration of one of the servers. Machines see each other only
// through ports of this computer's loopback interface.
func (s setup) config(number int, machines []*machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server_name: n%d
listen: 0.0.0.0:%d
max_payload: 8454144
jetstream { store_dir: /data, max_file_store: 1GB, max_memory_store: 64MB, sync_interval: %q }
`, number, clientPort, s.sync)
	if s.servers == 1 {
		return b.String()
	}
	var routes []string
	for i, m := range machines {
		if i != number {
			routes = append(routes, fmt.Sprintf("nats://%s:%d", hostFromGuest, m.routes))
		}
	}
	fmt.Fprintf(&b, "cluster { name: c, listen: 0.0.0.0:%d, advertise: \"%s:%d\", routes: [%s] }\n",
		routePort, hostFromGuest, machines[number].routes, strings.Join(routes, ", "))
	return b.String()
}
