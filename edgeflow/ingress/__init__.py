"""What comes in from outside: who asks for what, may they, and what they are told.

    reading     a request, as its platform gives it, becomes an action
    doors       … over HTTP, below the prefix
    finding     … where an id or an input is in an event
    letting     whether it is let in
    acting      the action is done, and made durable
    answering   what came of it, as the caller hears it
    endpoint    all of these, for one handler

Nothing from outside is trusted: ids and names are checked, bodies are bounded, and
no stack trace leaves.
"""
