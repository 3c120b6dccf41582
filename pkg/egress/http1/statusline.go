package http1

// statusLine finds the final status line in the bytes of one response, past any
// 1xx responses before it. Its zero value is ready.
type statusLine struct {
	status int // of the final response, once its whole line has arrived
	end    int // how many bytes there were up to the end of that line

	state lineState
	fed   int      // bytes so far
	begun int      // bytes of the current line, without CR
	start [13]byte // the beginning of the current line: "HTTP/1.1 200 "
}

type lineState int

const (
	inStatusLine lineState = iota
	inInformationalHeaders
	settled // found, or not HTTP/1
)

func (l *statusLine) feed(data []byte) {
	for _, b := range data {
		if l.state == settled {
			return
		}
		l.fed++
		switch b {
		case '\r':
		case '\n':
			l.endLine()
		default:
			if l.begun < len(l.start) {
				l.start[l.begun] = b
			}
			l.begun++
		}
	}
}

func (l *statusLine) endLine() {
	length := l.begun
	l.begun = 0
	if l.state == inInformationalHeaders {
		if length == 0 {
			l.state = inStatusLine
		}
		return
	}
	code := l.code(length)
	switch {
	case code >= 200:
		l.status, l.end = code, l.fed
		l.state = settled
	case code >= 100 && code != 101:
		l.state = inInformationalHeaders
	default:
		l.state = settled
	}
}

// plausible reports whether the bytes so far may be the beginning of a response.
func (l *statusLine) plausible() bool {
	const protocol = "HTTP/"
	n := min(l.begun, len(protocol))
	return l.status != 0 || l.state == inInformationalHeaders || (n > 0 && string(l.start[:n]) == protocol[:n])
}

// code reads the three digits of "HTTP/1.x NNN", or returns 0.
func (l *statusLine) code(length int) int {
	const digits = 12
	if length < digits || string(l.start[:7]) != "HTTP/1." || l.start[8] != ' ' || (length > digits && l.start[digits] != ' ') {
		return 0
	}
	code := 0
	for _, digit := range l.start[9:digits] {
		if digit < '0' || digit > '9' {
			return 0
		}
		code = code*10 + int(digit-'0')
	}
	return code
}
