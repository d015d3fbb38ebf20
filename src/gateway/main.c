/* main.c: the gateway's entry: options, then the role. */
int main(void)
{
	return 0;
}
