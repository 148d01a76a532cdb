"""The desk: messages that wait until somebody has looked, kept so that what was acknowledged survives everything.

    DIR/lock                 of the one process that has this desk
    DIR/desk.sqlite3         holds, their messages, the audit, rules (WAL, synchronous=FULL)
    DIR/contents/ID.VERSION  content too long for the database
    DIR/incoming/ID          content as a worker writes it, before the hold is stored
    DIR/corrupt-TIME/        a desk that was damaged, with what could be read of it

Order of everything that lasts: content is written and synced, moved to its name, its directory synced; then the
database commits; then somebody is told. What a killed process leaves behind is therefore a file that no hold names, and
never a hold without its file. Files go in the other order.

`place` owns the directory, `contents` the files, `database` SQLite, `store` what a hold may become, `audit` the chain
of who did what, `editing` what a person sees and changes, `delivery` what the desk sends by itself, and `local` puts a
loop before all of it: everything below runs on one thread.
"""
