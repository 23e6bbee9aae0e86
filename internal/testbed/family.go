package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// member is a process by its id and its start, since ids are reused.
type member struct {
	pid   int
	start string // in clock ticks since boot, as in /proc
}

// family lists the descendants of a process. PostgreSQL's leave its process group, outlive it by a moment when it is
// killed, and keep it from being started again.
func family(pid int) []member {
	children := map[int][]member{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, path := range stats {
		if m, parent, ok := stat(path); ok {
			children[parent] = append(children[parent], m)
		}
	}
	var out []member
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		for _, m := range children[todo[0]] {
			out = append(out, m)
			todo = append(todo, m.pid)
		}
	}
	return out
}

// stat reads /proc/PID/stat of a living process, which a zombie is not. See proc_pid_stat(5).
func stat(path string) (m member, parent int, ok bool) {
	data, err := os.ReadFile(path) //nolint:gosec // below /proc
	if err != nil {
		return member{}, 0, false
	}
	pid, _, _ := strings.Cut(string(data), " ")
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:])) // the name may hold anything
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return member{}, 0, false
	}
	m.start = fields[19]
	if m.pid, err = strconv.Atoi(pid); err != nil {
		return member{}, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return m, parent, err == nil
}

func (m member) lives() bool {
	now, _, ok := stat(fmt.Sprintf("/proc/%d/stat", m.pid))
	return ok && now == m
}

// bury kills what is left of a family and returns once all have ended.
func bury(members []member) error {
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		left := 0
		for _, m := range members {
			if m.lives() {
				left++
				syscall.Kill(m.pid, syscall.SIGKILL) //nolint:errcheck,gosec // the next round shows whether it worked
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return fmt.Errorf("%d of its children do not end", left)
		}
	}
}
