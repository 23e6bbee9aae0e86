package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
)

// How much of a Job's logs is kept as evidence, for events and pages; the cluster has the rest.
const (
	logPods  = 3       // the newest, a Job may have tried often
	logLines = 20      // the last, of each container
	logRead  = 1 << 20 // bytes of those lines at most: a line may be of any length
	logBytes = 8 << 10 // the last of them, of each container
	logTotal = 60      // lines
	logWidth = 500     // bytes of a line
)

func byAge(list []*corev1.Pod) []*corev1.Pod {
	slices.SortFunc(list, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// lastLines are the ends of the logs of a Job's pods, oldest first. A log that cannot be read is a line that says so.
func (c *Cluster) lastLines(ctx context.Context, list []*corev1.Pod) []string {
	var out []string
	list = list[max(0, len(list)-logPods):]
	for _, p := range list {
		several := len(list) > 1 || len(p.Spec.Containers)+len(p.Spec.InitContainers) > 1
		for _, s := range statuses(p) {
			prefix := ""
			if several {
				prefix = p.Name + "/" + s.Name + ": "
			}
			for _, line := range c.containerLog(ctx, p, s) {
				out = append(out, prefix+line)
			}
		}
	}
	return out[max(0, len(out)-logTotal):]
}

func (c *Cluster) containerLog(ctx context.Context, p *corev1.Pod, s corev1.ContainerStatus) []string {
	if s.State.Waiting != nil && s.RestartCount == 0 {
		return nil // it has never run
	}
	text, err := c.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: s.Name, TailLines: new(int64(logLines)), LimitBytes: new(int64(logRead)), Previous: s.State.Waiting != nil,
	}).DoRaw(ctx)
	if err != nil {
		return []string{fmt.Sprintf("the log of container %s of pod %s cannot be read: %v", s.Name, p.Name, err)}
	}
	return cleanLines(string(text))
}

// cleanLines are the last lines of a text, without what a terminal would take for a command.
func cleanLines(text string) []string {
	text = strings.TrimRight(strings.ToValidUTF8(text[max(0, len(text)-logBytes):], "\uFFFD"), "\n")
	if text == "" {
		return nil
	}
	var out []string
	for line := range strings.Lines(text) {
		line = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && r != '\t' {
				return -1
			}
			return r
		}, line)
		if len(line) > logWidth {
			line = strings.ToValidUTF8(line[:logWidth], "") + "…"
		}
		out = append(out, line)
	}
	return out[max(0, len(out)-logLines):]
}
