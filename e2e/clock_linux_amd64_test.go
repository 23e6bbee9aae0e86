package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clockFaults are faults in the daemon's wall clock.
var clockFaults = []realFault{
	{name: "the daemon's wall clock is set an hour ahead", does: "looks follow Prometheus's clock, and says so", begin: setClock(time.Hour), at: &ahead, lasts: true, always: true},
	{name: "the daemon's wall clock is set an hour back", does: "looks follow Prometheus's clock, and says so", begin: setClock(-time.Hour), at: &behind, lasts: true, always: true},
}

// prometheusAhead and prometheusBehind come last in their worlds: after its clock is set right again, Prometheus
// accepts no sample for a minute.
var (
	prometheusAhead = []realFault{
		{name: "Prometheus's clock is set a minute ahead", does: "looks follow it, and says so", begin: setPrometheusClock(time.Minute), at: &ahead, tries: goodFirst},
	}
	prometheusBehind = []realFault{
		{name: "Prometheus's clock is set a minute back", does: "judges again once Prometheus takes samples again", begin: setPrometheusClock(-time.Minute), blind: time.Minute, at: &behind, tries: goodFirst},
	}
)

// setPrometheusClock shifts only the wall clock of Prometheus.
func setPrometheusClock(by time.Duration) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		require.NoError(t, shiftClock(w.prometheus, by))
		return func() { require.NoError(t, shiftClock(w.prometheus, 0)) }
	}
}

// setClock shifts only the wall clock of the daemon.
func setClock(by time.Duration) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		require.NoError(t, shiftClock(w.daemon, by))
		_, text := w.get("/healthz", nil)
		require.NotEmpty(t, text)
		return func() { require.NoError(t, shiftClock(w.daemon, 0)) }
	}
}

type stoppable interface {
	PID() int
	Signal(sig syscall.Signal) error
}

// shiftClock makes a process read a wrong wall clock. A time namespace covers only other clocks, and a static binary
// ignores preloaded libraries. But it reads the time through a function that the kernel maps into each process, the
// vDSO, and this function can be overwritten from outside, as a debugger would. The code written there asks the kernel,
// and adds the shift to CLOCK_REALTIME.
func shiftClock(p stoppable, by time.Duration) error {
	pid := p.PID()
	base, image, err := vdso(pid)
	if err != nil {
		return err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("read the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name != "__vdso_clock_gettime" {
			continue
		}
		code := clockCode(by)
		if uint64(len(code)) > s.Size {
			return errors.New("the vDSO's function is too short")
		}
		return whileStopped(p, base, uint64(len(image)), func() error { return poke(pid, base+s.Value, code) })
	}
	return errors.New("the vDSO has no __vdso_clock_gettime")
}

// clockCode is a clock_gettime that adds by to CLOCK_REALTIME.
func clockCode(by time.Duration) []byte {
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, 228: clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 13, // jnz to the end
		0x48, 0xb9, // mov rcx, the seconds that follow
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(by/time.Second)) //nolint:gosec // two's complement
	return append(code,
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, // ret
	)
}

// vdso returns where the kernel's functions are mapped in a process, and their bytes.
func vdso(pid int) (base uint64, image []byte, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		var end uint64
		if _, err := fmt.Sscanf(line, "%x-%x ", &base, &end); err != nil {
			return 0, nil, fmt.Errorf("%s: %w", line, err)
		}
		memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			return 0, nil, err
		}
		defer func() { _ = memory.Close() }()
		image = make([]byte, end-base)
		_, err = memory.ReadAt(image, int64(base)) //nolint:gosec // an address of user space
		return base, image, err
	}
	return 0, nil, errors.New("the process has no vDSO")
}

// whileStopped calls do while the process is stopped and none of its threads is in the range to be changed.
func whileStopped(p stoppable, base, size uint64, do func() error) error {
	for range 1000 {
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		if still, err := outside(p.PID(), base, size); err != nil {
			return err
		} else if still {
			return errors.Join(do(), p.Signal(syscall.SIGCONT))
		}
		if err := p.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the process is always reading the time")
}

// outside reports whether all threads are stopped, and none of them in the range.
func outside(pid int, base, size uint64) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil {
		return false, err
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread) //nolint:gosec // of a process of this test
		if err != nil {
			return false, err
		}
		fields := strings.Fields(string(text)) // the last is the instruction pointer; a running thread has "running" instead
		at, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil || at >= base && at < base+size {
			return false, nil //nolint:nilerr // it is running
		}
	}
	return len(threads) > 0, nil
}

func poke(pid int, at uint64, code []byte) error {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = memory.WriteAt(code, int64(at)) //nolint:gosec // an address of user space
	return errors.Join(err, memory.Close())
}
