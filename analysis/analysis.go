// Package analysis answers what has to be asked of a metrics source, and what the answers say.
//
// A [Definition] is what a user wants measured in one evidence scope. Bound to the two arms of a release it
// becomes a [Plan]: [Plan.Asks] says what to ask for a window, [Plan.Fold] turns the answers into a
// [judge.Look] and the next [Cursor]. It is pure: where samples come from is a source's business (package
// promsource), when to look is the engine's, what follows from a verdict is the rollout's.
//
// Counts are exact: they come from raw samples, and resets, first appearances, gaps and outages are accounted
// for series by series; see [Cursor]. rate() and increase() extrapolate, and miss the first errors of a series
// that was not there before.
package analysis
