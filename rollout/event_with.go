package rollout

// Head implements [Event] for everything that has a Meta.
func (m Meta) Head() Meta { return m }

func (Meta) event() {}

// With implements [Event].
func (e Started) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e StepEntered) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e InForce) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e NotInForce) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e Drifted) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e LookTaken) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e AlarmDismissed) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e GateAnswered) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e WebhookAnswered) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e JobSucceeded) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e JobFailed) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e DeploymentReady) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e DeploymentFailed) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e DeadlinePassed) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e WindowAwaited) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e Paused) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e WentOn) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e Resumed) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e RollbackRequested) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e CancelRequested) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e Superseded) With(m Meta) Event { e.Meta = m; return e }

// With implements Event.
func (e SuccessorCancelled) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e Drained) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e CleanedUp) With(m Meta) Event { e.Meta = m; return e }

// With implements [Event].
func (e Ended) With(m Meta) Event { e.Meta = m; return e }
