package chart

import (
	"fmt"
	"strings"
)

// Stack is a document of charts below each other, with one style. Their IDs are numbered, so that they differ.
func Stack(charts ...Chart) []byte {
	var inner strings.Builder
	width, height := 0.0, 0.0
	for i, c := range charts {
		c.ID = fmt.Sprintf("chart-%d", i+1)
		f := c.frame()
		fmt.Fprintf(&inner, `<g transform="translate(0 %s)">`+"\n%s\n</g>\n", num(height), c.Inline())
		width, height = max(width, f.width), height+f.height
	}
	return fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<svg xmlns="http://www.w3.org/2000/svg" class="serin-chart" viewBox="0 0 %s %s" width="%s" height="%s">`+"\n<style>%s</style>\n%s</svg>\n",
		num(width), num(height), num(width), num(height), style, inner.String())
}
